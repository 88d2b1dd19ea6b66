"""The layer of the quota: what is reserved, learned and charged, whatever happens."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anyio
import pytest
from attrs import evolve

from leyline import QuotaExceededError, ServiceConfig, ServiceRegistry
from leyline.calls import Handler, Job
from leyline.clock import Clock
from leyline.limits import Limit, Weight
from leyline.model import ExecutionResult, Failure, FailureKind, Usage
from leyline.quota import MemoryLedger
from leyline.testing import ScriptedService
from tests.virtual import VIRTUAL_BACKEND, VIRTUAL_CLOCK

pytestmark = pytest.mark.anyio

NOTHING = Usage(measured=True, requests=0)
HEAVY = "word " * 40_000


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class SlowLedger(MemoryLedger):
    """Takes a second to settle and to refund, and remembers what was booked and not yet done."""

    def __init__(self) -> None:
        super().__init__(VIRTUAL_CLOCK)

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        await anyio.sleep(1.0)
        return await super().settle(account, booking, limits, weight)

    async def refund(self, account: str, booking: str) -> bool:
        await anyio.sleep(1.0)
        return await super().refund(account, booking)

    def left(self, account: str) -> int:
        return len(self._accounts[account].bookings)


def registry(state: MemoryLedger | str = ":memory:") -> ServiceRegistry:
    return ServiceRegistry(state, usage=False, clock=VIRTUAL_CLOCK)


def add(to: ServiceRegistry, name: str = "svc", **fields: Any) -> ScriptedService:
    scripted = ScriptedService(name, retry=None, **fields)
    scripted.register(to)
    return scripted


async def used(of: ServiceRegistry, name: str = "svc") -> list[int]:
    return [limit.used for limit in (await of.quota_status(name)).limits]


def failing(usages: Iterator[Usage]) -> Callable[[ServiceConfig, Clock], Handler]:
    """Where processes would run: each fails, and says what it used."""

    async def run(_: Job) -> ExecutionResult:
        failure = Failure(kind=FailureKind.CRASHED, message="crashed")
        return ExecutionResult(service="svc", failure=failure, usage=next(usages))

    return lambda _config, _clock: run


async def test_runs_that_failed_do_not_teach_that_calls_cost_nothing():
    async with registry() as leyline:
        limits = {"tpm": 1_000_000}
        config = ServiceConfig("svc", "svc", preset="", command_template="{command}")
        config = evolve(config, retry=None, breaker=None, quota_limits=limits)
        says_nothing = Usage()  # and so costs what was expected
        usages = itertools.chain([NOTHING] * 30, itertools.repeat(says_nothing))
        leyline.register("svc", config, run=failing(usages))
        for _ in range(30):
            assert not (await leyline.execute("svc", "hi")).success
        assert await used(leyline) == [0]
        await leyline.execute("svc", "hi")
        assert await used(leyline) == [501]


async def test_a_run_costs_a_request_whatever_it_says():
    async with registry() as leyline:
        add(leyline, usage=NOTHING, quota_limits={"rpm": 10})
        await leyline.execute("svc", "hi")
        assert await used(leyline) == [1]


async def test_what_was_learned_shuts_no_call_out():
    async with registry() as leyline:
        add(
            leyline,
            quota_limits={"rpm": 10, "tpm": 1000},
            usage=Usage(input_tokens=9000, output_tokens=90, requests=12, measured=True),
        )
        for _ in range(3):
            assert (await leyline.execute("svc", "hi", deadline=None)).success


async def test_a_call_that_is_too_large_takes_the_service_from_nobody_else():
    async with registry() as leyline:
        add(leyline, quota_limits={"tpm": 10_000})
        prompts = ["hi", HEAVY, *(f"prompt {number}" for number in range(20))]
        items = [item async for item in leyline.map(prompts, concurrency=1)]
        assert sum(item.error is not None for item in items) == 1
        assert isinstance(items[1].error, Exception)


async def test_a_heavy_call_that_is_refused_does_not_send_light_ones_elsewhere():
    async with registry() as leyline:
        cheap = add(leyline, "cheap", text="yes", quota_limits={"tpm": 10_000})
        dear = add(leyline, "dear")
        heavy = "word " * 5000  # fits once
        await leyline.execute("cheap", heavy)
        with pytest.raises(QuotaExceededError):
            await leyline.execute("cheap", heavy, deadline=1)
        result = await leyline.execute_with_failover("hi", services=["cheap", "dear"])
        assert result.service == "cheap"
        assert (cheap.runs, dear.runs) == (2, 0)


async def test_a_little_used_day_counts_as_having_much_left():
    async with registry() as leyline:
        add(leyline, "day", quota_limits={"daily": 1000, "reset": {"zone": "UTC"}})
        add(leyline, "ten", quota_limits={"rpd": 10})
        await leyline.execute("day", "hi")
        for _ in range(9):
            await leyline.execute("ten", "hi")
        assert leyline.select_service(strategy="most_quota") == "day"


@pytest.mark.parametrize("native", [False, True])
async def test_who_is_cancelled_while_it_is_charged_still_closes_the_service(native: bool):
    refusal = Failure(kind=FailureKind.RATE_LIMITED, message="429", retry_after=600.0)
    ledger = SlowLedger()
    async with registry(ledger) as leyline:
        add(leyline, failures=[refusal], quota_limits={"rpm": 100})
        await cancelled_after(0.5, leyline, native=native)
        await anyio.sleep(5)
        assert (await leyline.quota_status("svc")).closed_for > 500
        assert ledger.left("svc") == 0


async def cancelled_after(seconds: float, leyline: ServiceRegistry, *, native: bool) -> None:
    """A call whose caller is cancelled after so long."""
    if not native:
        with anyio.move_on_after(seconds):
            await leyline.execute("svc", "hi")
        return
    call = asyncio.ensure_future(leyline.execute("svc", "hi"))
    await anyio.sleep(seconds)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()


@pytest.mark.parametrize("inside", [False, True])
async def test_whoever_is_cancelled_leaves_no_booking_unsettled(inside: bool):
    ledger = SlowLedger()
    outer = registry(ledger)
    add(outer, latency=10.0, quota_limits={"rpm": 100})
    if inside:
        with anyio.move_on_after(3.0):
            async with outer, anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(outer.execute, "svc", "hi")
    else:
        for _ in range(5):
            with anyio.move_on_after(3.0):
                await outer.execute("svc", "hi")
    await anyio.sleep(5)
    assert ledger.left("svc") == 0


async def test_a_dry_run_takes_no_room_from_later_windows():
    async with registry() as leyline:
        add(leyline, "dry", quota_limits={"rpm": 60, "dry_run": True, "pool": "p"})
        add(leyline, "real", quota_limits={"rpm": 60, "pool": "p"})
        for _ in range(500):
            await leyline.execute("dry", "hi")
        assert await used(leyline, "real") == [500]
        await anyio.sleep(61)
        result: ExecutionResult = await leyline.execute("real", "hi", deadline=0.1)
        assert result.success
