"""The layer of the concurrency, in front of a service that bears only so many at once."""

import asyncio
from functools import partial

import anyio
import pytest

from leyline.calls.job import Job
from leyline.errors import QuotaExceededError
from leyline.model import FailureKind, Priority
from leyline.policies import ConcurrencyPolicy
from tests.calls.scripted import Outcome, Scripted, script, service
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class Bears:
    """A tool that answers after a second, unless more than *number* run; then it refuses."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.inside = 0
        self.refused = 0

    async def __call__(self, _: Job) -> Outcome:
        self.inside += 1
        try:
            if self.inside > self.number:
                await anyio.sleep(0.01)
                self.refused += 1
                return FailureKind.OVERLOADED
            await anyio.sleep(1.0)
            return None
        finally:
            self.inside -= 1


def crowd(tool: object, **policy: int) -> Scripted:
    config = service(retry=None, breaker=None, concurrency=ConcurrencyPolicy(**policy))
    return Scripted(tool=tool, config=config)


def limit(called: Scripted) -> int:
    assert called.service.memory.gate is not None
    return called.service.memory.gate.limit.limit


async def test_it_finds_what_the_service_bears():
    bears = Bears(10)
    limits = list[int]()
    async with crowd(bears) as called, anyio.create_task_group() as group:

        async def caller() -> None:
            while True:
                await called.outcome(max_wait=None)

        for _ in range(200):
            group.start_soon(caller)
        for _ in range(100):
            await anyio.sleep(10.0)
            limits.append(limit(called))
        group.cancel_scope.cancel()
    settled = limits[20:]
    assert min(settled) >= 5
    assert max(settled) <= 11
    # ten a second are borne; with limits between 5 and 10 at least three quarters are used
    assert len(called.started) - bears.refused > 0.7 * 10 * 1000


@pytest.mark.parametrize("kind", [FailureKind.OVERLOADED, FailureKind.RATE_LIMITED])
async def test_a_burst_that_is_too_much_halves_it_once(kind: FailureKind):
    async with crowd(script([kind]), initial=64) as called:
        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(called.outcome)
        assert limit(called) == 32


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.BAD_REQUEST, FailureKind.TIMEOUT])
async def test_other_failures_say_nothing_of_how_many_it_bears(kind: FailureKind):
    async with crowd(script([kind]), initial=8) as called:
        for _ in range(50):
            await called.outcome()
        assert limit(called) == 8


async def test_those_who_wait_start_in_the_order_in_which_they_came():
    async with crowd(script([None]), initial=2, most=2) as called:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(partial(called.call, id=str(number)))
        assert [job.call.id for job in called.jobs] == [str(number) for number in range(20)]
        assert called.most == 2
    assert anyio.current_time() == pytest.approx(10.0)


async def test_who_finds_no_place_in_time_is_told_which_limit_was_in_the_way():
    async with (
        crowd(script([None], seconds=100.0), initial=2, most=2) as called,
        anyio.create_task_group() as group,
    ):
        group.start_soon(partial(called.outcome, timeout=None))
        group.start_soon(partial(called.outcome, timeout=None))
        await anyio.sleep(1.0)
        with pytest.raises(QuotaExceededError, match="2 runs at once") as caught:
            await called.call(max_wait=5.0)
        assert anyio.current_time() == pytest.approx(6.0)
        error = caught.value
        assert (error.limit, error.used, error.amount) == ("concurrency", 2, 2)
        group.cancel_scope.cancel()
    assert len(called.started) == 2


async def test_who_may_not_wait_at_all_is_refused_at_once_or_starts():
    async with (
        crowd(script([None]), initial=1, most=1) as called,
        anyio.create_task_group() as group,
    ):
        group.start_soon(partial(called.call, max_wait=0.0))
        await anyio.sleep(0.5)
        with pytest.raises(QuotaExceededError):
            await called.call(max_wait=0.0)
        assert anyio.current_time() == 0.5
    assert len(called.started) == 1


@pytest.mark.parametrize("by", ["scope", "task"])
async def test_a_run_that_is_cancelled_makes_room_for_the_next(by: str):
    async with crowd(script([None], seconds=10.0), initial=1, most=1) as called:
        scope = anyio.CancelScope()

        async def leaves() -> None:
            with scope:
                await called.call()

        running = asyncio.create_task(leaves())
        await anyio.sleep(1.0)
        waiting = asyncio.create_task(called.call())
        await anyio.sleep(1.0)
        (running if by == "task" else scope).cancel()
        assert (await waiting).success
        assert called.started == pytest.approx([0.0, 2.0])
        assert limit(called) == 1
        await asyncio.wait([running])


async def test_in_the_queue_for_a_place_nobody_holds_quota():
    config = service(
        retry=None, concurrency=ConcurrencyPolicy(initial=1, most=1), quota_limits={"rpm": 60}
    )
    async with (
        Scripted(tool=script([None], seconds=5.0), config=config) as called,
        anyio.create_task_group() as group,
    ):
        for _ in range(4):
            group.start_soon(called.call)
        await anyio.sleep(1.0)
        assert called.service.meter is not None
        status = await called.service.meter.admission.status()
        assert status.limits[0].used == 1


async def test_the_more_urgent_call_has_the_next_place():
    order = list[str]()
    async with crowd(Bears(1), initial=1, most=1) as called:

        async def ask(name: str, priority: Priority) -> None:
            assert (await called.call(priority=priority)).success
            order.append(name)

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(ask, f"low {number}", Priority.LOW)
            await anyio.sleep(0.5)
            group.start_soon(ask, "high", Priority.HIGH)
    assert order == ["low 0", "high", "low 1", "low 2"]
