"""The layer of the breaker, around the others, in virtual time; and a command that is missing."""

import asyncio
from collections import Counter
from pathlib import Path

import anyio
import pytest

from leyline import CommandNotFoundError, HealthStatus, ServiceConfig, ServiceRegistry
from leyline.calls.job import Job
from leyline.errors import ServiceUnavailableError
from leyline.events import AttemptStarted, BreakerChanged, Event
from leyline.model import BreakerState, ExecutionResult, Failure, FailureKind
from leyline.policies import BreakerPolicy
from tests.calls.scripted import Outcome, Scripted, Tool, script, service
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio

CLOSED, OPEN, HALF_OPEN, DISABLED = BreakerState
SERVER = FailureKind.SERVER


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class Outage:
    """A service that is down until it is told otherwise, and takes its time."""

    def __init__(self, *, seconds: float = 1.0) -> None:
        self.outcome: Outcome = SERVER
        self.seconds = seconds

    async def __call__(self, _: Job) -> Outcome:
        await anyio.sleep(self.seconds)
        return self.outcome


def without_retry(tool: Tool, **fields: object) -> Scripted:
    return Scripted(tool=tool, config=service(**{"retry": None} | fields))


def state(called: Scripted) -> BreakerState:
    assert called.service.memory.breaking is not None
    return called.service.memory.breaking.breaker.state(anyio.current_time())


async def open_it(called: Scripted) -> None:
    for _ in range(5):
        await called.call()
    assert state(called) is OPEN


async def until_half_open(called: Scripted) -> None:
    while state(called) is OPEN:
        await anyio.sleep(0.5)
    assert state(called) is HALF_OPEN


async def many(called: Scripted, number: int, **options: object) -> Counter[str]:
    """What comes of *number* calls at once."""
    seen: Counter[str] = Counter()

    async def one() -> None:
        outcome = await called.outcome(**options)
        success = isinstance(outcome, ExecutionResult) and outcome.success
        seen["success" if success else type(outcome).__name__] += 1

    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(one)
    return seen


def turns(called: Scripted) -> list[tuple[BreakerState, BreakerState]]:
    return [(event.before, event.after) for event in called.told_of(BreakerChanged)]


async def test_half_open_a_thousand_callers_are_one_probe_and_the_others_are_refused_at_once():
    outage = Outage()
    async with without_retry(outage) as called:
        await open_it(called)
        await until_half_open(called)
        began, outage.outcome = anyio.current_time(), None
        refusals = list[ServiceUnavailableError]()

        async def one() -> None:
            outcome = await called.outcome()
            if isinstance(outcome, ServiceUnavailableError):
                assert anyio.current_time() == began
                refusals.append(outcome)

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(one)
        assert len(called.started) == 5 + 1
        assert len(refusals) == 999
        # soon: not only when the probe would be given up
        assert {error.retry_after for error in refusals} == {1.0}
        assert "and one does; ask again in 1 s" in str(refusals[0])
        assert state(called) is CLOSED


async def test_who_comes_while_it_is_open_hears_when_to_come_back():
    async with without_retry(Outage()) as called:
        await open_it(called)
        await anyio.sleep(2.0)
        with pytest.raises(ServiceUnavailableError, match="5 failures in a row") as caught:
            await called.call()
        assert caught.value.retry_after is not None
        await anyio.sleep(caught.value.retry_after)
        await called.call()  # at that very time
    assert len(called.started) == 6


async def test_a_probe_that_is_cancelled_neither_closes_it_nor_stays():
    outage = Outage()
    async with without_retry(outage) as called:
        await open_it(called)
        await until_half_open(called)
        for cancel_by in ("scope", "task"):
            if cancel_by == "scope":
                with anyio.move_on_after(0.5):
                    await called.call()
            else:
                task = asyncio.create_task(called.call())
                await anyio.sleep(0.5)
                task.cancel()
                await asyncio.wait([task])
            assert state(called) is HALF_OPEN
        outage.outcome = None
        assert (await called.call()).success
        assert state(called) is CLOSED
    assert len(called.started) == 8


async def test_a_probe_of_which_nothing_is_heard_keeps_the_others_out_for_its_lease_alone():
    outage = Outage()
    async with without_retry(outage, timeout_seconds=60.0) as called:
        await open_it(called)
        await until_half_open(called)
        outage.seconds = 10_000.0
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: called.outcome(timeout=None))
            await anyio.sleep(61.0)
            assert await many(called, 10) == {"ServiceUnavailableError": 10}
            await anyio.sleep(1.5)
            outage.seconds, outage.outcome = 1.0, None
            assert await many(called, 10) == {"success": 1, "ServiceUnavailableError": 9}
            assert state(called) is CLOSED
            group.cancel_scope.cancel()


async def test_a_probe_that_finds_no_quota_in_time_neither_closes_it_nor_stays():
    outage = Outage()
    async with without_retry(outage, quota_limits={"rpm": 5}) as called:
        await open_it(called)
        await until_half_open(called)
        for _ in range(3):
            assert await many(called, 1, max_wait=1.0) == {"QuotaExceededError": 1}
        assert state(called) is HALF_OPEN
        await anyio.sleep(70.0)
        outage.outcome = None
        assert (await called.call()).success
        assert state(called) is CLOSED


async def test_a_success_of_a_call_from_before_the_opening_closes_nothing():
    outage = Outage(seconds=30.0)
    async with without_retry(outage) as called, anyio.create_task_group() as group:
        group.start_soon(called.call)
        await anyio.sleep(0.1)
        outage.seconds = 0.1
        await open_it(called)
        outage.outcome = None  # for the one that still runs
        await until_half_open(called)
        await anyio.sleep(35.0 - anyio.current_time())
        assert state(called) is HALF_OPEN
    assert turns(called) == [(CLOSED, OPEN)]


async def test_failures_of_calls_from_before_the_opening_do_not_put_off_the_return():
    outage = Outage(seconds=1.0)
    async with without_retry(outage) as called:
        assert await many(called, 1000) == {"ExecutionResult": 1000}
        await anyio.sleep(11.1)
        assert state(called) is HALF_OPEN
    assert turns(called) == [(CLOSED, OPEN)]


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED])
async def test_a_storm_of_refusals_for_the_quota_never_opens_it(kind: FailureKind):
    refused = Failure(kind=kind, message="", retry_after=0.1)
    async with without_retry(script([refused], seconds=0.1)) as called:
        for _ in range(3):
            await many(called, 1000, max_wait=None)
        assert state(called) is CLOSED
    assert len(called.started) == 3000
    assert turns(called) == []


async def test_callers_who_give_up_count_as_nothing():
    async with without_retry(Outage(seconds=100.0)) as called:
        for _ in range(50):
            with anyio.move_on_after(1.0):
                await called.call()
        assert state(called) is CLOSED
        assert called.service.memory.breaking is not None
        assert called.service.memory.breaking.breaker.snapshot(anyio.current_time()).calls == 0


async def test_every_change_is_told_in_order_and_why():
    outage = Outage()
    async with without_retry(outage, breaker=BreakerPolicy(consecutive=2)) as called:
        for _ in range(3):
            await called.outcome()
        await until_half_open(called)
        await called.outcome()
        await until_half_open(called)
        outage.outcome = None
        await called.outcome()
    assert turns(called) == [
        (CLOSED, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, CLOSED),
    ]
    reasons = [event.reason for event in called.told_of(BreakerChanged)]
    assert reasons[0] == "2 failures in a row"
    assert all(reasons)


@pytest.mark.parametrize(
    "missing",
    [CommandNotFoundError("svc", "is not there"), Failure(kind=FailureKind.NOT_FOUND, message="x")],
)
async def test_a_command_that_is_missing_is_looked_for_once(missing: Outcome):
    async with Scripted(tool=script([missing, None], seconds=0.0)) as called:
        first = await called.outcome()
        for _ in range(3):
            await anyio.sleep(1000.0)
            assert await many(called, 100) == {"CommandNotFoundError": 100}
        assert len(called.started) == 1
        if isinstance(first, CommandNotFoundError):
            assert str(await called.outcome()) == str(first)
        assert state(called) is DISABLED
        called.service.restore()
        assert (await called.call()).success
    assert turns(called) == [(CLOSED, DISABLED), (DISABLED, CLOSED)]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_command_that_appears_is_run_once_a_health_check_has_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    events = list[Event]()
    async with ServiceRegistry(on_event=events.append) as registry:
        registry.register("late", ServiceConfig("late", "late-tool", command_template="{command}"))
        errors = list[CommandNotFoundError]()
        for _ in range(20):
            with pytest.raises(CommandNotFoundError) as caught:
                await registry.execute("late", "Hello")
            errors.append(caught.value)
        assert len({str(error) for error in errors}) == 1
        assert "late-tool" in str(errors[-1])
        assert sum(isinstance(event, AttemptStarted) for event in events) == 1
        assert not await registry.health_check("late")
        with pytest.raises(CommandNotFoundError):
            await registry.execute("late", "Hello")

        (tmp_path / "late-tool").write_text("#!/bin/sh\ncat\n")
        (tmp_path / "late-tool").chmod(0o755)
        report = await registry.health_check("late")
        assert report.status is not HealthStatus.UNHEALTHY
        assert (await registry.execute("late", "Hello")).text == "Hello"
    changes = [(e.before, e.after) for e in events if isinstance(e, BreakerChanged)]
    assert changes == [(CLOSED, DISABLED), (DISABLED, CLOSED)]
