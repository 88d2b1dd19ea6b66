"""Those who wait for one quota in one process, in virtual time."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from functools import partial

import anyio
import pytest
from attrs import evolve, frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leyline.errors import LedgerError, QuotaExceededError
from leyline.limits import DailyReset, Limit, Measure, QuotaLevel, Weight, named_limit
from leyline.model import Priority
from leyline.quota.account import AccountStatus, Booked, Refused
from leyline.quota.admission import Admission, Grant
from leyline.quota.memory import MemoryLedger
from tests.virtual import EPOCH, VIRTUAL_BACKEND, VIRTUAL_CLOCK, run_virtual

pytestmark = pytest.mark.anyio

ONE = Weight()
RPM = named_limit("rpm", 60)
TEN = named_limit("rpm", 10)
TEN_IN_TEN = Limit(name="ten", measure=Measure.REQUESTS, amount=10, per=10.0)
TPM = named_limit("tpm", 1000)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class Store(MemoryLedger):
    """A store that takes *latency* seconds, and counts what is asked of it.

    Cancelled in its first half nothing is written, in its second half everything.
    """

    def __init__(self, latency: float = 0.0) -> None:
        super().__init__(VIRTUAL_CLOCK)
        self.latency = latency
        self.asked: list[str] = []
        self.booking = self.most_booking = 0
        self.broken = False

    async def _take(self, what: str) -> None:
        self.asked.append(what)
        if self.latency:
            await anyio.sleep(self.latency / 2)
        if self.broken:
            raise LedgerError("memory", "broken")

    async def _rest(self) -> None:
        if self.latency:
            await anyio.sleep(self.latency / 2)

    async def book(
        self,
        account: str,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        max_delay: float,
    ) -> Booked | Refused:
        self.booking += 1
        self.most_booking = max(self.most_booking, self.booking)
        try:
            await self._take("book")
            outcome = await super().book(account, booking, limits, weight, max_delay=max_delay)
            await self._rest()
        finally:
            self.booking -= 1
        return outcome

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        await self._take("confirm")
        outcome = await super().confirm(account, booking, limits, weight)
        await self._rest()
        return outcome

    async def refund(self, account: str, booking: str) -> bool:
        await self._take("refund")
        done = await super().refund(account, booking)
        await self._rest()
        return done

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        await self._take("status")
        return await super().status(account, limits)

    @property
    def left(self) -> int:
        """Bookings that nobody settled or gave back."""
        return len(self._accounts["svc"].bookings)


def admission(store: Store, *limits: Limit, burst: int | None = 10_000) -> Admission:
    return Admission("svc", limits, store, VIRTUAL_CLOCK, burst=burst)


async def exhaust(queue: Admission, weights: int = 10) -> list[Grant]:
    return [await queue.admit(ONE, deadline=None) for _ in range(weights)]


def now() -> float:
    return anyio.current_time()


# --- Starting and waiting ---


async def test_a_call_that_has_room_starts_at_once_with_one_transaction():
    store = Store()
    grant = await admission(store, RPM).admit(ONE, deadline=None)
    assert grant.queued == 0.0
    assert store.asked == ["book"]


async def test_a_call_without_any_limit_starts_at_once():
    await admission(Store()).admit(ONE, deadline=None)
    assert now() == 0.0


async def test_the_head_sleeps_exactly_its_delay_and_confirms_once():
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        await anyio.sleep(seconds)

    store = Store()
    queue = Admission("svc", (TEN_IN_TEN,), store, evolve(VIRTUAL_CLOCK, sleep=sleep), burst=11)
    await exhaust(queue)
    grant = await queue.admit(ONE, deadline=None)
    assert sum(naps) == pytest.approx(grant.queued, abs=1e-9)
    assert len(naps) == 3  # timers are late in proportion; the second is short
    assert naps[2] == pytest.approx(0.025)  # asked ahead by half of what a start may be late
    assert 10.0 < grant.queued < 10.5
    assert store.asked == ["book"] * 11 + ["confirm"]


async def test_who_comes_first_is_served_first_and_only_the_head_books():
    store, served = Store(latency=0.01), []
    queue = admission(store, TEN_IN_TEN)

    async def ask(number: int) -> None:
        grant = await queue.admit(ONE, deadline=None)
        served.append(number)
        await queue.settle(grant.booking, ONE)

    async with anyio.create_task_group() as group:
        for number in range(35):
            group.start_soon(ask, number)
    assert served == list(range(35))
    assert store.most_booking == 1
    assert store.asked.count("book") == 35


async def test_a_high_call_goes_before_those_who_wait_longer():
    served: list[str] = []
    queue = admission(Store(), Limit(name="one", measure=Measure.REQUESTS, amount=1, per=1.0))

    async def ask(name: str, priority: Priority) -> None:
        await queue.admit(ONE, deadline=None, priority=priority)
        served.append(name)

    async with anyio.create_task_group() as group:
        for name, priority in [
            ("head", Priority.LOW),
            ("low", Priority.LOW),
            ("normal", Priority.NORMAL),
            ("high", Priority.HIGH),
        ]:
            group.start_soon(ask, name, priority)
            await anyio.sleep(0.01)
    assert served == ["head", "low", "high", "normal"]  # "low" had booked before "high" came


# --- Deadlines ---


async def test_a_start_past_the_deadline_is_refused_at_once_with_what_stands_in_the_way():
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    with pytest.raises(QuotaExceededError) as caught:
        await queue.admit(ONE, deadline=5.0)
    error = caught.value
    assert now() == 0.0
    assert (error.service, error.limit, error.used, error.amount) == ("svc", "ten", 10, 10)
    assert error.retry_after == pytest.approx(10.1, abs=0.2)
    assert "10 of 10" in str(error)
    assert store.left == 10


async def test_what_never_fits_is_refused_for_ever():
    with pytest.raises(QuotaExceededError) as caught:
        await admission(Store(), TPM).admit(Weight(input_tokens=1001), deadline=None)
    assert caught.value.retry_after is None
    assert caught.value.limit == "tpm"


async def test_behind_a_head_that_starts_later_a_call_is_refused_at_once():
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(exhaust, queue, 1)
        await anyio.sleep(1.0)
        with pytest.raises(QuotaExceededError) as caught:
            await queue.admit(ONE, deadline=5.0)
        assert now() == pytest.approx(1.0)
        assert caught.value.limit == "ten"
        assert caught.value.retry_after == pytest.approx(9.1, abs=0.2)
    assert store.asked.count("status") == 1


async def test_all_who_come_too_late_are_refused_by_one_look():
    store, refused = Store(), []
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)

    async def ask(deadline: float) -> None:
        try:
            await queue.admit(ONE, deadline=deadline)
        except QuotaExceededError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(exhaust, queue, 1)
        for number in range(1000):
            group.start_soon(ask, number / 1000)
        await anyio.sleep(0.001)
        assert len(refused) == 1000
        assert len(set(map(id, refused))) == 1000
    assert store.asked.count("status") == 1


async def test_a_head_whose_deadline_has_passed_is_refused_and_books_nothing():
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    await anyio.sleep(7.0)
    with pytest.raises(QuotaExceededError) as caught:
        await queue.admit(ONE, deadline=5.0)
    assert caught.value.limit == "ten"
    assert store.left == 0
    assert "book" not in store.asked


async def test_a_call_that_has_to_start_at_once_does_so_although_the_loop_is_late():
    clock = evolve(VIRTUAL_CLOCK, monotonic=partial(next, itertools.count(0.0, 0.125)))
    queue = Admission("svc", (TEN_IN_TEN,), Store(), clock)
    await queue.admit(ONE, deadline=0.0)


async def test_a_deadline_that_passes_while_the_head_is_paced_is_noticed_then():
    slow = Limit(name="slow", measure=Measure.REQUESTS, amount=6, per=60.0)
    queue = admission(Store(), slow, burst=1)
    await queue.admit(ONE, deadline=None)
    async with anyio.create_task_group() as group:
        group.start_soon(queue_admit, queue)  # paced until 10
        await anyio.sleep(1.0)
        with pytest.raises(QuotaExceededError):
            await queue.admit(ONE, deadline=4.0)
        assert now() == pytest.approx(4.0)
        group.cancel_scope.cancel()


async def queue_admit(queue: Admission) -> None:
    await queue.admit(ONE, deadline=None)


# --- What changes meanwhile ---


async def test_a_refund_wakes_the_head_at_once():
    queue = admission(Store(), TEN_IN_TEN)
    grants = await exhaust(queue)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            assert (await queue.admit(ONE, deadline=None)).queued == pytest.approx(3.0, abs=0.01)

        group.start_soon(ask)
        await anyio.sleep(3.0)
        await queue.refund(grants[0].booking)


async def test_settling_with_less_wakes_the_head_at_once_and_with_as_much_does_not():
    store = Store()
    queue = admission(store, TPM)
    first = await queue.admit(Weight(input_tokens=400), deadline=None)
    second = await queue.admit(Weight(input_tokens=400), deadline=None)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            grant = await queue.admit(Weight(input_tokens=400), deadline=None)
            assert grant.queued == pytest.approx(5.0, abs=0.01)

        group.start_soon(ask)
        await anyio.sleep(3.0)
        await queue.settle(first.booking, Weight(input_tokens=400))
        await anyio.sleep(2.0)
        assert store.asked == ["book"] * 3
        await queue.settle(second.booking, Weight(input_tokens=100))


async def test_closing_makes_the_head_wait_anew():
    queue = admission(Store(), TEN_IN_TEN)
    await exhaust(queue)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            assert (await queue.admit(ONE, deadline=None)).queued >= 40.0

        group.start_soon(ask)
        await anyio.sleep(3.0)
        await queue.throttle(EPOCH + 40.0, "retry in 37 s")


async def test_closing_refuses_a_head_that_cannot_start_in_time_any_more():
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(QuotaExceededError, match=r"closed.*retry in 37 s") as caught:
                await queue.admit(ONE, deadline=20.0)
            assert caught.value.limit == "closed"
            assert now() == pytest.approx(3.0)

        group.start_soon(ask)
        await anyio.sleep(3.0)
        await queue.throttle(EPOCH + 40.0, "retry in 37 s")
    assert store.left == 10


async def test_a_closure_from_another_process_is_noticed_before_the_start():
    store = Store()
    queue, other = admission(store, TEN_IN_TEN), admission(store, TEN_IN_TEN)
    await exhaust(queue)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(QuotaExceededError):
                await queue.admit(ONE, deadline=20.0)
            assert now() == pytest.approx(10.1, abs=0.3)

        group.start_soon(ask)
        await anyio.sleep(3.0)
        await other.throttle(EPOCH + 40.0, "busy")
    assert store.left == 10


async def test_status_tells_what_is_used():
    queue = admission(Store(), TEN_IN_TEN)
    await exhaust(queue, 3)
    status = await queue.status()
    assert [(limit.name, limit.used) for limit in status.limits] == [("ten", 3)]


async def test_a_broken_store_lets_nobody_start_and_keeps_nobody_waiting():
    store, errors = Store(), []
    queue = admission(store, TEN_IN_TEN)
    store.broken = True

    async def ask() -> None:
        try:
            await queue.admit(ONE, deadline=None)
        except LedgerError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert len(errors) == 20
    store.broken = False
    await queue.admit(ONE, deadline=None)


# --- Leaving ---


async def leave_after(seconds: float, *, latency: float, native: bool) -> bool:
    """Cancel the head then, with another behind it; whether it was granted before."""
    store = Store(latency)
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    scope, granted, served = anyio.CancelScope(), [], []

    async def leave() -> None:
        with scope:
            granted.append(await queue.admit(ONE, deadline=None))

    async def follow() -> None:
        served.append(await queue.admit(ONE, deadline=None))

    leaving = asyncio.ensure_future(leave())
    await anyio.sleep(0)
    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await anyio.sleep(seconds)
        leaving.cancel() if native else scope.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert len(served) == 1
    assert store.left == 11 + len(granted)
    assert served[0].queued < 15.0
    return bool(granted)


@pytest.mark.parametrize("latency", [0.0, 1.0])
@pytest.mark.parametrize("native", [False, True], ids=["scope", "native"])
async def test_whenever_the_head_is_cancelled_nothing_stays_booked_and_the_next_has_its_turn(
    latency: float, native: bool
):
    granted = [
        await leave_after(quarter / 4, latency=latency, native=native) for quarter in range(60)
    ]
    assert granted == sorted(granted)
    assert 0 < sum(granted) < 60


@pytest.mark.parametrize("quarter", range(8))
async def test_a_second_native_cancellation_does_not_leave_a_booking_behind(quarter: int):
    store = Store(latency=1.0)
    queue = admission(store, TEN_IN_TEN)
    waiting = asyncio.ensure_future(queue.admit(ONE, deadline=None))
    await anyio.sleep(0.75)  # booked, but not told so
    waiting.cancel()
    await anyio.sleep(quarter / 4)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert store.left == 0


async def test_wait_for_gives_back_what_was_booked():
    store = Store(latency=0.1)
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.admit(ONE, deadline=None), 4.0)
    assert store.left == 10


@pytest.mark.parametrize("roused_first", [True, False])
async def test_being_roused_in_the_instant_of_a_native_cancellation_does_not_swallow_it(
    roused_first: bool,
):
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    grants = await exhaust(queue)
    waiting = asyncio.ensure_future(queue.admit(ONE, deadline=None))
    await anyio.sleep(1.0)
    if roused_first:
        await queue.refund(grants[0].booking)
    waiting.cancel()
    if not roused_first:
        await queue.refund(grants[0].booking)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert store.left == 9


async def test_a_store_that_hangs_holds_a_cancelled_caller_for_a_bounded_time_only():
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    with anyio.move_on_after(1.0):
        async with anyio.create_task_group() as group:
            group.start_soon(queue_admit, queue)
            await anyio.sleep(0.5)
            store.latency = 1e6
    assert now() < 10.0
    store.latency = 0.0
    assert store.left == 11
    await queue.admit(ONE, deadline=None)  # who comes next gives it back
    assert store.left == 11


async def test_whoever_was_cancelled_before_it_asked_books_nothing():
    store = Store()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await admission(store, TEN_IN_TEN).admit(ONE, deadline=None)
    assert store.asked == []


# --- Many ---


def live_timers() -> int:
    loop = asyncio.get_running_loop()
    return sum(not handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]


async def test_ten_thousand_wait_with_one_timer_and_drain_in_order():
    store, served = Store(), []
    queue = admission(store, RPM, burst=None)

    async def ask(number: int) -> None:
        grant = await queue.admit(ONE, deadline=1e9 if number % 2 else None)
        served.append(number)
        await queue.settle(grant.booking, ONE)

    async with anyio.create_task_group() as group:
        for number in range(10_000):
            group.start_soon(ask, number)
        await anyio.sleep(30.25)
        assert live_timers() <= 2  # the head's, and an old one of this test
        before = time.process_time()
    assert served == list(range(10_000))
    assert time.process_time() - before < 15.0  # about a second here; slow machines are slower
    assert store.left == 0
    assert now() == pytest.approx(10_000.0, rel=0.015)


@pytest.mark.parametrize("native", [False, True], ids=["scope", "native"])
async def test_ten_thousand_are_cancelled_at_once_and_nothing_is_left_booked(native: bool):
    store = Store()
    queue = admission(store, TEN_IN_TEN)
    await exhaust(queue)
    async with anyio.create_task_group() as group:
        tasks = []
        if native:
            tasks = [asyncio.ensure_future(queue_admit(queue)) for _ in range(10_000)]
        else:
            for _ in range(10_000):
                group.start_soon(queue_admit, queue)
        await anyio.sleep(1.0)
        before = time.process_time()
        for task in tasks:
            task.cancel()
        group.cancel_scope.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert time.process_time() - before < 8.0  # well under a second here
    assert store.left == 10
    assert store.asked.count("refund") == 1
    assert len(queue._queue) == 0


# --- Whatever happens ---


@frozen(kw_only=True)
class Caller:
    at: float
    tokens: int
    priority: Priority
    patience: float | None
    leaves_after: float | None
    native: bool
    settles: float  # share of the tokens that it really used; negative: gives all back
    takes: float


def _caller(*, at: float, settles: float, leaves_after: float | None = None) -> Caller:
    return Caller(
        at=at,
        tokens=0,
        priority=Priority.HIGH,
        patience=None,
        leaves_after=leaves_after,
        native=False,
        settles=settles,
        takes=0.0,
    )


callers = st.lists(
    st.builds(
        Caller,
        at=st.floats(0, 60),
        tokens=st.integers(0, 400),
        priority=st.sampled_from(Priority),
        patience=st.none() | st.floats(0, 60),
        leaves_after=st.none() | st.floats(0, 30),
        native=st.booleans(),
        settles=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
        takes=st.floats(0, 20),
    ),
    max_size=40,
)
LIMITS = (
    Limit(name="five", measure=Measure.REQUESTS, amount=5, per=10.0),
    Limit(name="tokens", measure=Measure.TOKENS, amount=1000, per=30.0),
)


class Play:
    """What came of every caller."""

    def __init__(self, callers: list[Caller], latency: float, burst: int | None) -> None:
        self.callers = callers
        self.store = Store(latency)
        self.queue = admission(self.store, *LIMITS, burst=burst)
        self.asked: list[int] = []
        self.granted: list[int] = []
        self.starts: list[tuple[float, Weight]] = []  # what ran, with what it really used

    async def run(self, closures: list[tuple[float, float]]) -> None:
        async with anyio.create_task_group() as group:
            for number in range(len(self.callers)):
                group.start_soon(self._come_and_leave, number)
            for at, seconds in closures:
                group.start_soon(self._close, at, seconds)

    async def _come_and_leave(self, number: int) -> None:
        caller = self.callers[number]
        await anyio.sleep(caller.at)
        scope = anyio.CancelScope()
        calling = asyncio.ensure_future(self._call(number, scope))
        if caller.leaves_after is not None:
            await anyio.sleep(caller.leaves_after)
            if number not in self.granted:
                calling.cancel() if caller.native else scope.cancel()
        await asyncio.wait([calling])
        if not calling.cancelled():
            calling.result()

    async def _call(self, number: int, scope: anyio.CancelScope) -> None:
        caller = self.callers[number]
        self.asked.append(number)
        deadline = None if caller.patience is None else now() + caller.patience
        weight = Weight(input_tokens=caller.tokens)
        with contextlib.suppress(QuotaExceededError), scope:
            grant = await self.queue.admit(weight, deadline=deadline, priority=caller.priority)
            self.granted.append(number)
            assert deadline is None or now() <= deadline + self.store.latency + 1e-6
            await self._use(caller, grant.booking)

    async def _use(self, caller: Caller, booking: str) -> None:
        """Who is granted a start answers for it, also if a cancellation comes a moment too late."""
        if caller.settles < 0:
            with anyio.CancelScope(shield=True):
                await self.queue.refund(booking)
            return
        used = Weight(input_tokens=int(caller.tokens * caller.settles))
        self.starts.append((now(), used))
        try:
            await anyio.sleep(caller.takes)
        finally:
            with anyio.CancelScope(shield=True):
                await self.queue.settle(booking, used)

    async def _close(self, at: float, seconds: float) -> None:
        await anyio.sleep(at)
        await self.queue.throttle(EPOCH + at + seconds, "busy")


@settings(deadline=None, max_examples=100)
@example(
    callers=[
        _caller(at=2.0, leaves_after=1e-179, settles=0.0),
        _caller(at=2.0, settles=-1.0),
        _caller(at=1.0, settles=-1.0),
    ],
    latency=0.0,
    closures=[],
    burst=None,
)
@given(
    callers=callers,
    latency=st.sampled_from([0.0, 0.01]),
    closures=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 30)), max_size=2),
    burst=st.sampled_from([None, 1, 100]),
)
def test_whatever_happens_no_window_is_over_nothing_is_left_and_the_order_is_kept(
    callers: list[Caller],
    latency: float,
    closures: list[tuple[float, float]],
    burst: int | None,
):
    play = Play(callers, latency, burst)
    run_virtual(lambda: play.run(closures))
    for limit in LIMITS:
        for begin, _ in play.starts:
            inside = [weight for at, weight in play.starts if begin <= at < begin + limit.per]
            assert sum(weight.of(limit.measure) for weight in inside) <= limit.amount
    for priority in Priority:
        of_class = [number for number in play.asked if callers[number].priority is priority]
        granted = [number for number in play.granted if number in of_class]
        assert granted == [number for number in of_class if number in play.granted]
    assert play.store.left == 0
    assert play.store.most_booking <= 1
    assert play.queue._head is None
    assert len(play.queue._queue) == 0
    assert not play.queue._reserved


# --- Pacing ---


async def starts_of(queue: Admission, seconds: float, workers: int = 80) -> list[float]:
    """When calls start, in *seconds* of a saturated queue."""
    starts: list[float] = []

    async def work() -> None:
        while True:
            grant = await queue.admit(ONE, deadline=None)
            starts.append(now())
            await queue.settle(grant.booking, ONE)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(work)
    return starts


async def test_after_the_burst_a_full_window_is_spread():
    starts = await starts_of(admission(Store(), RPM, burst=None), 30.0)
    assert starts[:10] == [0.0] * 10
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts[9:])]
    assert gaps == pytest.approx([1.0] * len(gaps), abs=0.01)
    assert len(starts) == pytest.approx(40, abs=1)


@pytest.mark.parametrize("burst", [None, 1, 30, 60])
async def test_pacing_costs_no_use_of_the_quota(burst: int | None):
    starts = await starts_of(admission(Store(), RPM, burst=burst), 7200.0)
    assert starts[3600] - starts[60] <= 59 * 60.0 / 0.985  # whole windows, but for the first
    assert max(sum(b <= at < b + 60.0 for at in starts[:600]) for b in starts[:600]) == 60


async def test_pacing_delays_nobody_beyond_its_deadline():
    slow = Limit(name="slow", measure=Measure.REQUESTS, amount=6, per=60.0)
    queue = admission(Store(), slow, burst=1)
    await queue.admit(ONE, deadline=None)
    grant = await queue.admit(ONE, deadline=3.0)
    assert grant.queued == 0.0
    assert (await queue.admit(ONE, deadline=30.0)).queued == pytest.approx(10.0)


async def test_what_may_be_used_at_will_is_not_paced():
    five_hours = Limit(name="5h", measure=Measure.REQUESTS, amount=500, per=18_000.0)
    daily = named_limit("daily", 1000, reset=DailyReset())
    queue = admission(Store(), five_hours, daily, TPM, burst=None)
    await exhaust(queue, 100)
    assert now() == 0.0


def test_a_queue_serves_one_event_loop_after_another():
    store = Store()
    queue = admission(store, TEN_IN_TEN, burst=1)

    async def main() -> None:
        await exhaust(queue, 2)

    run_virtual(main)
    run_virtual(main)
    assert store.left == 4


def test_infinite_patience_is_no_deadline():
    async def main() -> None:
        await exhaust(queue)
        assert (await queue.admit(ONE, deadline=math.inf)).queued > 10.0

    queue = admission(Store(), TEN_IN_TEN)
    run_virtual(main)


# --- A store that breaks; levels ---


async def test_a_store_that_breaks_fails_all_who_wait_at_once():
    store = Store()
    queue = admission(store, TEN)
    await exhaust(queue)
    failed: list[LedgerError] = []

    async def call() -> None:
        with pytest.raises(LedgerError) as raised:
            await queue.admit(ONE, deadline=None)
        failed.append(raised.value)

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(call)
        await anyio.sleep(1)
        store.broken = True
    asked = len(store.asked)
    assert len(failed) == 100
    assert store.asked.count("confirm") == 1  # of the head alone
    store.broken = False
    await queue.admit(ONE, deadline=None)  # and those who come later ask for themselves
    assert len(store.asked) > asked


async def test_a_head_that_is_roused_keeps_its_place_among_processes():
    store = Store()
    one, other = admission(store, TEN), admission(store, TEN)
    grants = await exhaust(one)
    started: dict[str, float] = {}

    async def call(name: str, queue: Admission) -> None:
        await queue.admit(ONE, deadline=None)
        started[name] = now()

    async with anyio.create_task_group() as group:
        await anyio.sleep(1)
        group.start_soon(call, "first", one)
        await anyio.sleep(1)
        group.start_soon(call, "second", other)
        await anyio.sleep(1)
        for grant in grants:  # each used less than was reserved, and so rouses the head
            await one.settle(grant.booking, Weight(requests=1 if grant is grants[0] else 0))
    assert list(started) == ["first", "second"]
    assert started["first"] < 5  # though the other's booking lies before what is free


async def test_whoever_watches_hears_of_every_new_level_once():
    heard: list[tuple[QuotaLevel, QuotaLevel]] = []
    queue = Admission(
        "svc", (TEN,), Store(), VIRTUAL_CLOCK, on_level=lambda *levels: heard.append(levels)
    )
    await exhaust(queue, 7)
    assert heard == []
    await exhaust(queue, 3)
    assert heard == [
        (QuotaLevel.HEALTHY, QuotaLevel.WARNING),
        (QuotaLevel.WARNING, QuotaLevel.CRITICAL),
    ]
    await anyio.sleep(70)
    await queue.status()
    await queue.throttle(VIRTUAL_CLOCK.wall() + 5, "enough")
    assert heard[2:] == [
        (QuotaLevel.CRITICAL, QuotaLevel.HEALTHY),
        (QuotaLevel.HEALTHY, QuotaLevel.CRITICAL),
    ]


async def test_a_start_that_waited_too_short_to_matter_is_not_asked_for_twice():
    store = Store(latency=0.01)
    limit = Limit(name="fast", measure=Measure.REQUESTS, amount=100, per=10.0)
    queue = admission(store, limit, burst=1)  # one every 0.1 s
    for _ in range(20):
        await anyio.sleep(0.08)
        await queue.admit(ONE, deadline=None)
    assert store.asked == ["book"] * 20


async def test_who_waits_for_hours_keeps_its_place_and_one_who_was_killed_holds_up_nobody():
    store, hours = Store(), Limit(name="w", measure=Measure.REQUESTS, amount=2, per=18_000.0)
    first, other, third = (admission(store, hours) for _ in range(3))
    await first.admit(ONE, deadline=None)
    await store.book("svc", "killed", [hours], Weight(requests=2), max_delay=math.inf)
    await anyio.sleep(100.0)
    await other.admit(ONE, deadline=now())  # at once
    starts: list[tuple[str, float]] = []

    async def wait(name: str, queue: Admission) -> None:
        await queue.admit(Weight(requests=2), deadline=None)
        starts.append((name, now()))

    async with anyio.create_task_group() as group:
        group.start_soon(wait, "third", third)
        await anyio.sleep(1000.0)
        group.start_soon(wait, "first", first)
    assert [name for name, _ in starts] == ["third", "first"]
    assert starts[0][1] == pytest.approx(18_100, rel=0.02)
    confirms = store.asked.count("confirm")
    assert confirms == pytest.approx(53_300 / 30, rel=0.05)  # each asks twice a minute
