"""One run for everybody who asks at the same time."""

import traceback

import anyio
import pytest

from leyline.errors import RegistryClosedError, SpawnError
from leyline.health import SingleFlight
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class Probe:
    """Something that takes ten seconds, and counts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started = self.finished = self.cancelled = 0
        self._error = error

    async def __call__(self) -> int:
        self.started += 1
        try:
            await anyio.sleep(10.0)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        self.finished += 1
        if self._error is not None:
            raise self._error
        return self.started


async def test_a_thousand_callers_start_one_run():
    flights, probe, results = SingleFlight[int](), Probe(), []

    async def ask() -> None:
        results.append(await flights.run("svc", probe, group))

    async with anyio.create_task_group() as group:
        for _ in range(1000):
            group.start_soon(ask)
    assert results == [1] * 1000
    assert probe.started == 1
    assert anyio.current_time() == pytest.approx(10.0)


async def test_nothing_is_kept_for_those_who_ask_later():
    flights, probe = SingleFlight[int](), Probe()
    async with anyio.create_task_group() as group:
        assert await flights.run("svc", probe, group) == 1
        assert await flights.run("svc", probe, group) == 2


async def test_each_key_has_a_run_of_its_own():
    flights, results = SingleFlight[int](), {}
    probes = {"a": Probe(), "b": Probe()}

    async def ask(key: str) -> None:
        results[key] = await flights.run(key, probes[key], group)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "a")
        group.start_soon(ask, "b")
    assert results == {"a": 1, "b": 1}
    assert anyio.current_time() == pytest.approx(10.0)


async def test_the_first_caller_leaves_and_the_others_do_not_notice():
    flights, probe, results = SingleFlight[int](), Probe(), []
    first = anyio.CancelScope()

    async def lead() -> None:
        with first:
            results.append(await flights.run("svc", probe, group))

    async def follow() -> None:
        results.append(await flights.run("svc", probe, group))

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        await anyio.sleep(1.0)
        group.start_soon(follow)
        await anyio.sleep(1.0)
        first.cancel()
    assert results == [1]
    assert (probe.started, probe.finished, probe.cancelled) == (1, 1, 0)
    assert first.cancelled_caught


async def test_the_last_one_to_leave_stops_the_run_and_the_next_starts_another():
    flights, probe = SingleFlight[int](), Probe()
    async with anyio.create_task_group() as group:

        async def ask_for(seconds: float) -> None:
            with anyio.move_on_after(seconds):
                await flights.run("svc", probe, group)

        group.start_soon(ask_for, 2.0)
        group.start_soon(ask_for, 4.0)
        await anyio.sleep(3.0)
        assert probe.cancelled == 0
        await anyio.sleep(1.5)
        assert (probe.started, probe.cancelled) == (1, 1)
        assert await flights.run("svc", probe, group) == 2


async def test_who_asks_in_the_moment_the_last_one_leaves_gets_a_run_of_its_own():
    flights, probe = SingleFlight[int](), Probe()
    async with anyio.create_task_group() as group:
        with anyio.move_on_after(2.0):
            await flights.run("svc", probe, group)
        assert await flights.run("svc", probe, group) == 2  # the first has not even ended yet


async def test_a_caller_that_is_cancelled_already_starts_nothing():
    flights, probe = SingleFlight[int](), Probe()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await flights.run("svc", probe, group)
    assert probe.started == 0


async def test_an_error_reaches_every_caller_as_itself_and_never_the_group():
    flights, probe = SingleFlight[int](), Probe(SpawnError("svc", "no processes"))
    errors: list[SpawnError] = []

    async def ask() -> None:
        try:
            await flights.run("svc", probe, group)
        except SpawnError as error:
            errors.append(error)
            lengths.append(len(traceback.extract_tb(error.__traceback__)))

    lengths: list[int] = []
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
    assert len(errors) == 100
    assert probe.started == 1
    assert len(set(lengths)) == 1  # each raise would add its frames to those before


async def test_where_the_group_ends_under_a_run_its_callers_are_told():
    flights, probe, told = SingleFlight[int](), Probe(), []

    async def ask(group) -> None:
        try:
            await flights.run("svc", probe, group)
        except RegistryClosedError:
            told.append(anyio.current_time())

    async with anyio.create_task_group() as outside, anyio.create_task_group() as inside:
        outside.start_soon(ask, inside)
        await anyio.sleep(3.0)
        inside.cancel_scope.cancel()
    assert told == [pytest.approx(3.0)]
    assert probe.cancelled == 1
