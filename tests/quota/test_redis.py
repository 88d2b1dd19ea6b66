"""Quotas in a live Redis server, which these tests start for themselves."""

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from leyline.clock import Clock
from leyline.errors import LedgerError
from leyline.limits import DailyReset, Weight, named_limit
from leyline.quota.account import Booked, Refused
from leyline.quota.redis import RedisLedger
from leyline.testing.ledgers import LedgerConformance, OpenLedger
from tests.quota.redis_process import Server, told

pytestmark = pytest.mark.anyio

RPM = named_limit("rpm", 3)
ONE = Weight()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def server(running: Server) -> Server:
    running.ask("FLUSHALL")
    return running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(Server(tmp_path, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


class TestConformance(LedgerConformance):
    @pytest.fixture
    def open_ledger(self, running: Server) -> OpenLedger:
        return lambda clock: RedisLedger(running.url, clock=clock)


async def test_clocks_of_clients_do_not_matter(server: Server):
    early = RedisLedger(server.url, clock=Clock(wall=lambda: time.time() - 30))
    late = RedisLedger(server.url, clock=Clock(wall=lambda: time.time() + 30))
    limits = (RPM, named_limit("daily", 100, reset=DailyReset(zone="Asia/Tokyo")))
    outcomes = [
        await ledger.book("a", str(i), limits, ONE, max_delay=1.0)
        for i, ledger in enumerate([early, late, early, late, early])
    ]
    assert [type(outcome) for outcome in outcomes] == [Booked] * 3 + [Refused] * 2
    first, second = await early.status("a", limits), await late.status("a", limits)
    assert [limit.used for limit in first.limits] == [limit.used for limit in second.limits]
    for a, b in zip(first.limits, second.limits, strict=True):
        assert a.frees_in == pytest.approx(b.frees_in, abs=5)
    await early.aclose()
    await late.aclose()


async def test_scripts_may_be_flushed_at_any_time(server: Server):
    ledger = RedisLedger(server.url)
    for i in range(3):
        assert await ledger.book("a", str(i), (RPM,), ONE, max_delay=0.0) == Booked(delay=0.0)
        server.ask("SCRIPT", "FLUSH")
    assert isinstance(await ledger.book("a", "3", (RPM,), ONE, max_delay=0.0), Refused)
    await ledger.aclose()


async def test_one_key_an_account_that_any_cluster_can_place(server: Server):
    ledger = RedisLedger(server.url)
    await ledger.book("one", "1", (RPM,), ONE, max_delay=0.0)
    await ledger.book("two", "1", (RPM,), ONE, max_delay=0.0)
    assert server.ask("DBSIZE") == ":2"
    assert server.ask("EXISTS", "leyline:{one}", "leyline:{two}") == ":2"
    await ledger.aclose()


async def test_an_account_vanishes_when_nothing_of_it_matters_any_more(server: Server):
    ledger = RedisLedger(server.url)

    def left() -> float:
        return int(server.ask("PTTL", "leyline:{a}")[1:]) / 1000

    await ledger.book("a", "1", (RPM,), ONE, max_delay=0.0)
    assert left() > 86_400  # the booking may still be settled
    await ledger.settle("a", "1", (RPM,), ONE)
    assert 55 < left() < 65
    await ledger.throttle("a", time.time() + 1000, "later")
    assert 1000 < left() < 1070
    await ledger.aclose()


async def test_a_status_and_a_refusal_write_nothing(server: Server):
    ledger = RedisLedger(server.url)
    assert (await ledger.status("a", (RPM,))).limits[0].used == 0
    heavy = Weight(requests=4)
    refused = await ledger.book("a", "1", (RPM,), heavy, max_delay=float("inf"))
    assert refused == Refused(delay=float("inf"), limit="rpm", used=0, amount=3)
    assert server.ask("DBSIZE") == ":0"
    await ledger.aclose()


async def test_a_flushed_store_is_one_without_a_past(server: Server):
    ledger = RedisLedger(server.url)
    for i in range(3):
        await ledger.book("a", str(i), (RPM,), ONE, max_delay=0.0)
    server.ask("FLUSHALL")
    assert await ledger.settle("a", "0", (RPM,), ONE) is False
    assert await ledger.refund("a", "1") is False
    assert await ledger.confirm("a", "2", (RPM,), ONE) == Booked(delay=0.0)
    assert (await ledger.status("a", (RPM,))).limits[0].used == 1
    await ledger.aclose()


async def test_half_a_character_in_a_reason_does_no_harm(server: Server):
    ledger = RedisLedger(server.url)
    await ledger.throttle("a", time.time() + 100, "bad \udc80 / good é")
    status = await ledger.status("a", ())
    assert status.reason == "bad ? / good é"
    assert 90 < status.closed_for <= 100
    await ledger.aclose()


async def test_a_cancelled_booking_is_made_or_not_begun(server: Server):
    ledger = RedisLedger(server.url)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.book("a", "never", (RPM,), ONE, max_delay=0.0)
    assert server.state().bookings == {}

    held = []
    evaluate = ledger._server._evaluate

    async def cancelled_under_way(key: str, argument: str) -> list[str]:
        scope.cancel()
        return await evaluate(key, argument)

    ledger._server._evaluate = cancelled_under_way
    with anyio.CancelScope() as scope:
        held.append(await ledger.book("a", "made", (RPM,), ONE, max_delay=0.0))
        await anyio.sleep(60)
    assert scope.cancelled_caught
    assert held == [Booked(delay=0.0)]
    assert list(server.state().bookings) == ["made"]
    await ledger.aclose()


async def test_many_calls_share_few_connections(server: Server):
    ledger = RedisLedger(server.url)
    before = int(server.ask("INFO", "stats").split("total_connections_received:")[1].split()[0])
    async with anyio.create_task_group() as group:
        for i in range(200):
            group.start_soon(ledger.refund, "a", str(i))
    after = int(server.ask("INFO", "stats").split("total_connections_received:")[1].split()[0])
    assert after - before <= 5  # one of them is this test's
    await ledger.aclose()


@pytest.mark.parametrize("measure", ["rpm", "tpm"])
async def test_a_full_limit_takes_less_than_2_kb(server: Server, measure: str):
    limit = named_limit(measure, 100_000_000)
    weight = Weight(requests=123_456, input_tokens=123_456)
    ledger, told_time = told(server.url, 1_800_000_000_000_000, Clock(wall=lambda: 1.8e9))
    for i in range(300):
        told_time.micros += 300_000
        await ledger.book("a", str(i), (limit,), weight, max_delay=0.0)
        await ledger.settle("a", str(i), (limit,), weight)
    assert len(server.state().tally.logs[measure]._buckets) >= 120
    assert int(server.ask("MEMORY", "USAGE", "leyline:{a}")[1:]) < 2048
    await ledger.aclose()


# When the store fails


async def failure(ledger: RedisLedger) -> LedgerError:
    with pytest.raises(LedgerError) as caught:
        await ledger.book("a", "1", (RPM,), ONE, max_delay=0.0)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    await ledger.aclose()
    return caught.value


async def test_a_server_that_is_down_fails_closed_until_it_is_back(
    own_server: Callable[..., Server],
):
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    ledger = RedisLedger(server.url)
    await ledger.book("a", "1", (RPM,), ONE, max_delay=0.0)
    server.kill()
    for _ in range(2):
        with pytest.raises(LedgerError, match="cannot be reached .* start the server"):
            await ledger.confirm("a", "1", (RPM,), ONE)
    server.start()
    with anyio.fail_after(20):
        while "loading" in server.ask("PING"):  # it still reads its log
            await anyio.sleep(0.01)
    assert await ledger.settle("a", "1", (RPM,), ONE)
    assert (await ledger.status("a", (RPM,))).limits[0].used == 1
    await ledger.aclose()


async def test_a_server_that_does_not_answer_is_given_up(
    own_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("leyline.quota.redis_server._TIMEOUT", 0.3)
    server = own_server()
    ledger = RedisLedger(server.url)
    os.kill(server.process.pid, signal.SIGSTOP)
    with pytest.raises(LedgerError, match="no answer within"):
        await ledger.status("a", (RPM,))
    os.kill(server.process.pid, signal.SIGCONT)
    monkeypatch.setattr("leyline.quota.redis_server._TIMEOUT", 20)
    assert await ledger.book("a", "1", (RPM,), ONE, max_delay=0.0) == Booked(delay=0.0)
    await ledger.aclose()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("SET", "leyline:{a}", "hello"), "did not write; delete it"),
        (("SET", "leyline:{a}", '{"version":1}'), "did not write; delete it"),
        (("LPUSH", "leyline:{a}", "1"), "did not write; delete it"),
        (("SET", "leyline:{a}", '{"version":3}'), "version 3 of the state.*upgrade leyline"),
    ],
)
async def test_a_key_that_cannot_be_read_is_left_alone(
    server: Server, command: tuple[str, ...], said: str
):
    server.ask(*command)
    before = server.ask("DUMP", "leyline:{a}")
    error = await failure(RedisLedger(server.url))
    assert re.search(said, error.reason)
    assert server.ask("DUMP", "leyline:{a}") == before


async def test_a_password_is_never_shown(own_server: Callable[..., Server]):
    server = own_server("--requirepass", "right-secret")
    ledger = RedisLedger(f"redis://:right-secret@127.0.0.1:{server.port}/0")
    assert await ledger.book("a", "1", (RPM,), ONE, max_delay=0.0) == Booked(delay=0.0)
    await ledger.aclose()
    for url in (
        f"redis://:wrong%2Fsecret@127.0.0.1:{server.port}/0",
        f"valkey://127.0.0.1:{server.port}/0?password=wrong%2Fsecret",
    ):
        ledger = RedisLedger(url)
        assert "secret" not in repr(ledger)
        error = await failure(ledger)
        assert error.store.endswith(f"://127.0.0.1:{server.port}/0")
        assert "check user and password" in error.reason
        assert "secret" not in repr(error) + str(error)


async def test_a_server_that_quotes_the_password_is_not_repeated(
    own_server: Callable[..., Server],
):
    server = own_server("--rename-command", "AUTH", "")
    error = await failure(RedisLedger(f"redis://:my-secret@127.0.0.1:{server.port}"))
    assert "unknown command" in error.reason
    assert "secret" not in repr(error) + str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:se/cret@host",
        "redis://:12#secret@host",
        "redis://:12?secret@host",
        "redis://:secret@host:port",
        "http://:secret@host",
        "redis://:secret@host/0?socket_timeout=secret",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(url: str):
    with pytest.raises(LedgerError) as caught:
        RedisLedger(url)
    for part in ("cret", "12"):
        assert part not in str(caught.value).replace("%23", "")


def test_valkey_tls_and_sockets_are_understood():
    for url in ("valkey://h", "valkeys://h:1", "rediss://u:p@h/2", "unix:///run/redis.sock?db=1"):
        assert "p@" not in repr(RedisLedger(url))


def test_redis_is_loaded_only_where_it_is_used():
    program = "import sys, leyline.quota.redis; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_redis_py_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(LedgerError, match=r"pip install 'leyline-registry\[redis\]'"):
        RedisLedger("redis://127.0.0.1")
