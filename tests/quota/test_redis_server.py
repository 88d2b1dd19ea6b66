"""How long a server is waited for, in virtual time."""

from collections import Counter

import anyio
import pytest

from leyline.errors import LedgerError
from leyline.quota.redis_server import RedisServer
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio

ADDRESS = "redis://127.0.0.1:1"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class Client:
    """A server that takes its time for an answer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = self.answered = 0

    async def evalsha(self, _sha: str, _numkeys: int, *_: str) -> list[str]:
        self.asked += 1
        await anyio.sleep(self.seconds)
        self.answered += 1
        return ["done"]

    async def eval(self, *_: object) -> list[str]:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


def server_of(client: Client, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    monkeypatch.setattr("leyline.quota.redis_server._client", lambda *_: client)
    return RedisServer(ADDRESS, "return 1")


async def outcomes(server: RedisServer, number: int) -> Counter[tuple[str, float]]:
    """What came of so many calls at once, and after how many seconds."""
    seen: Counter[tuple[str, float]] = Counter()

    async def ask() -> None:
        try:
            (outcome,) = await server.run("key", "{}")
        except LedgerError as error:
            outcome = error.reason.partition(";")[0]
        seen[outcome, round(anyio.current_time(), 3)] += 1

    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(ask)
    return seen


async def test_all_are_told_in_time_that_a_server_hangs(monkeypatch: pytest.MonkeyPatch):
    server = server_of(Client(1e9), monkeypatch)
    assert await outcomes(server, 12) == {("no answer within 5 s", 5.0): 12}


async def test_what_is_left_after_the_wait_for_a_connection_is_all_the_time_there_is(
    monkeypatch: pytest.MonkeyPatch,
):
    server = server_of(Client(3.0), monkeypatch)
    assert await outcomes(server, 9) == {("done", 3.0): 4, ("no answer within 5 s", 5.0): 5}


async def test_after_a_time_out_the_connections_are_free_again(monkeypatch: pytest.MonkeyPatch):
    client = Client(1e9)
    server = server_of(client, monkeypatch)
    await outcomes(server, 12)
    client.seconds = 1.0
    assert await outcomes(server, 4) == {("done", 6.0): 4}


async def test_who_is_cancelled_while_it_waits_for_a_connection_asks_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    client = Client(2.0)
    server = server_of(client, monkeypatch)
    with anyio.move_on_after(1.0):
        await outcomes(server, 12)
    assert (client.asked, client.answered) == (4, 4)  # what was sent is completed
    assert anyio.current_time() == pytest.approx(2.0)


async def test_who_waited_for_a_connection_of_a_closed_server_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
):
    server = server_of(Client(2.0), monkeypatch)
    seen: Counter[tuple[str, float]] = Counter()

    async def ask() -> None:
        seen.update(await outcomes(server, 6))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(1.0)
        await server.aclose()
    assert seen == {("done", 2.0): 4, ("it was closed", 2.0): 2}
