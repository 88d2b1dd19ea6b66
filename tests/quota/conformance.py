"""What every ledger promises, as tests: inherit from ``LedgerConformance`` to run them on yours.

    class TestMine(LedgerConformance):
        @pytest.fixture
        def open_ledger(self, tmp_path):
            return lambda: MyLedger(tmp_path)

Each call of what the fixture returns opens another ledger on one and the same store, which is
fresh or shared with other tests: every test has an account of its own. All in real time, with
short windows; what is asserted holds on the slowest machine.
"""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, TypeVar

import anyio
import pytest

from leyline.errors import LedgerError
from leyline.limits import DailyReset, Limit, Measure, Weight
from leyline.quota import Booked, Ledger, Refused

F = TypeVar("F", bound=Callable[..., Any])
OpenLedger = Callable[[], Ledger]

PER = 0.5
REQUESTS = Limit(name="requests", measure=Measure.REQUESTS, amount=20, per=PER)
MINUTE = Limit(name="rpm", measure=Measure.REQUESTS, amount=20, per=60.0)
TOKENS = Limit(name="tpm", measure=Measure.TOKENS, amount=1_000_000, per=60.0)
DAY = Limit(name="rpd", measure=Measure.REQUESTS, amount=20, per=86_400.0, reset=DailyReset())
ONE = Weight()
LATE = 30.0
"""Seconds that no test is ever late by."""


def needs(capability: str) -> Callable[[F], F]:
    """Only for ledgers whose class attribute of that name is true."""

    def mark(test: F) -> F:
        test.needs = capability  # type: ignore[attr-defined]
        return test

    return mark


def new_id() -> str:
    return uuid.uuid4().hex


async def book(ledger: Ledger, account: str, *limits: Limit, **fields: Any) -> str:
    """A booking that starts at once."""
    booking = new_id()
    weight = fields.get("weight", ONE)
    assert await ledger.book(account, booking, limits, weight, max_delay=0.0) == Booked(delay=0.0)
    return booking


async def used(ledger: Ledger, account: str, *limits: Limit) -> tuple[int, ...]:
    status = await ledger.status(account, limits)
    return tuple(limit.used for limit in status.limits)


async def delay_of_next(ledger: Ledger, account: str, *limits: Limit) -> float:
    outcome = await ledger.book(account, new_id(), limits, ONE, max_delay=LATE)
    assert isinstance(outcome, Booked)
    return outcome.delay


def fullest(starts: list[tuple[float, float]], per: float) -> int:
    """The most starts that lie in one half-open window for certain.

    starts: The moments between which each was.
    """
    windows = [(earliest, earliest + per) for earliest, _ in starts]
    return max(sum(a <= first and last < b for first, last in starts) for a, b in windows)


class LedgerConformance:
    """Bookings, one after another and all at once."""

    pytestmark = pytest.mark.anyio

    shares: ClassVar[bool] = True
    """Whether several ledgers can share a store."""

    closes: ClassVar[bool] = True
    """Whether it refuses to work after ``aclose``."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            capability = getattr(getattr(cls, name), "needs", None)
            if capability is not None and not getattr(cls, capability):
                setattr(cls, name, None)  # not a test of this ledger

    @pytest.fixture
    def open_ledger(self) -> OpenLedger:
        raise NotImplementedError

    @pytest.fixture
    async def ledger(self, open_ledger: OpenLedger) -> AsyncIterator[Ledger]:
        ledger = open_ledger()
        yield ledger
        await ledger.aclose()

    @pytest.fixture
    def account(self) -> str:
        return f"conformance-{new_id()}"

    # Booking

    async def test_what_fits_starts_at_once_and_the_next_one_a_window_later(self, ledger, account):
        began = time.monotonic()
        for _ in range(20):
            await book(ledger, account, REQUESTS)
        delay = await delay_of_next(ledger, account, REQUESTS)
        assert PER - (time.monotonic() - began) <= delay <= PER * 1.1

    async def test_a_window_that_has_passed_leaves_all_its_room(self, ledger, account):
        for _ in range(2):
            for _ in range(20):
                await book(ledger, account, REQUESTS)
            await anyio.sleep(PER * 1.2)

    async def test_bookings_ahead_fill_one_window_after_another(self, ledger, account):
        began = time.monotonic()
        delays = [await delay_of_next(ledger, account, REQUESTS) for _ in range(60)]
        elapsed = time.monotonic() - began
        assert delays[:20] == [0.0] * 20
        assert all(PER - elapsed <= delay <= PER * 1.1 for delay in delays[20:40])
        assert all(2 * PER - elapsed <= delay <= 2 * PER * 1.1 for delay in delays[40:])

    async def test_a_small_one_does_not_overtake_a_large_one_that_waits(self, ledger, account):
        await book(ledger, account, MINUTE, weight=Weight(requests=15))
        began = time.monotonic()
        large = await ledger.book(account, new_id(), [MINUTE], Weight(requests=10), max_delay=600.0)
        small = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=600.0)
        assert isinstance(large, Booked)
        assert isinstance(small, Booked)
        assert small.delay >= large.delay - (time.monotonic() - began) > 0

    async def test_a_start_that_is_too_late_is_refused_and_says_when(self, ledger, account):
        began = time.monotonic()
        for _ in range(20):
            await book(ledger, account, MINUTE)
        refused = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=10.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.used, refused.amount) == ("rpm", 20, 20)
        assert 60.0 - (time.monotonic() - began) <= refused.delay <= 61.0

    async def test_what_is_refused_is_not_booked(self, ledger, account):
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        refused = new_id()
        await ledger.book(account, refused, [MINUTE], ONE, max_delay=0.0)
        assert await used(ledger, account, MINUTE) == (20,)
        assert await ledger.refund(account, refused) is False

    async def test_what_never_fits_is_refused_for_ever(self, ledger, account):
        heavy = Weight(requests=21)
        for limit in (MINUTE, DAY):
            refused = await ledger.book(account, new_id(), [limit], heavy, max_delay=float("inf"))
            assert isinstance(refused, Refused)
            assert refused.delay == float("inf")
            assert refused.limit == limit.name

    async def test_all_limits_are_booked_together_or_none(self, ledger, account):
        weight = Weight(input_tokens=300_000, output_tokens=100_000)
        for _ in range(2):
            await book(ledger, account, MINUTE, TOKENS, DAY, weight=weight)
        refused = await ledger.book(account, new_id(), [MINUTE, TOKENS, DAY], weight, max_delay=0.0)
        assert isinstance(refused, Refused)
        assert refused.limit == "tpm"
        assert await used(ledger, account, MINUTE, TOKENS, DAY) == (2, 800_000, 2)

    async def test_a_quota_without_limits_lets_everything_start(self, ledger, account):
        booking = await book(ledger, account)
        assert await ledger.settle(account, booking, [], ONE) is True

    # Confirming

    async def test_a_start_whose_moment_has_come_is_confirmed(self, ledger, account):
        booking = await book(ledger, account, MINUTE)
        assert await ledger.confirm(account, booking, [MINUTE], ONE) == Booked(delay=0.0)
        assert await used(ledger, account, MINUTE) == (1,)

    async def test_a_start_that_comes_early_has_to_wait_for_its_moment(self, ledger, account):
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        booking = new_id()
        booked = await ledger.book(account, booking, [MINUTE], ONE, max_delay=100.0)
        assert isinstance(booked, Booked)
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert 0 < confirmed.delay <= booked.delay

    async def test_a_start_that_comes_late_counts_from_when_it_comes(self, ledger, account):
        booking = await book(ledger, account, MINUTE)
        await anyio.sleep(1.5)
        began = time.monotonic()
        assert await ledger.confirm(account, booking, [MINUTE], ONE) == Booked(delay=0.0)
        status = await ledger.status(account, [MINUTE])
        assert status.limits[0].used == 1
        assert status.limits[0].frees_in is not None
        assert status.limits[0].frees_in >= 60.0 - (time.monotonic() - began)

    # Settling and refunding

    @pytest.mark.parametrize("real", [0, 1, 99_999, 100_001, 1_500_000])
    async def test_what_was_used_replaces_what_was_reserved(self, ledger, account, real: int):
        booking = await book(ledger, account, MINUTE, TOKENS, weight=Weight(input_tokens=100_000))
        weight = Weight(requests=3, output_tokens=real)
        assert await ledger.settle(account, booking, [MINUTE, TOKENS], weight) is True
        assert await used(ledger, account, MINUTE, TOKENS) == (3, real)

    async def test_settling_twice_counts_once(self, ledger, account):
        booking = await book(ledger, account, MINUTE, DAY)
        limits, weight = [MINUTE, DAY], Weight(requests=2)
        settled = [await ledger.settle(account, booking, limits, weight) for _ in range(3)]
        assert settled == [True, False, False]
        assert await used(ledger, account, MINUTE, DAY) == (2, 2)

    async def test_what_was_never_booked_cannot_be_settled_or_refunded(self, ledger, account):
        assert await ledger.settle(account, new_id(), [MINUTE], ONE) is False
        assert await ledger.refund(account, new_id()) is False
        assert await used(ledger, account, MINUTE) == (0,)

    async def test_a_refund_makes_room_at_once_and_only_once(self, ledger, account):
        bookings = [await book(ledger, account, MINUTE, DAY) for _ in range(20)]
        refunded = [await ledger.refund(account, bookings[7]) for _ in range(2)]
        assert refunded == [True, False]
        await book(ledger, account, MINUTE, DAY)
        assert await used(ledger, account, MINUTE, DAY) == (20, 20)

    async def test_what_was_settled_cannot_be_refunded(self, ledger, account):
        booking = await book(ledger, account, MINUTE)
        await ledger.settle(account, booking, [MINUTE], ONE)
        assert await ledger.refund(account, booking) is False
        assert await used(ledger, account, MINUTE) == (1,)

    async def test_each_booking_is_settled_by_its_own_id(self, ledger, account):
        first, second = [
            await book(ledger, account, TOKENS, weight=Weight(input_tokens=tokens))
            for tokens in (1_000, 20_000)
        ]
        await ledger.settle(account, second, [TOKENS], Weight(input_tokens=300_000))
        assert await used(ledger, account, TOKENS) == (301_000,)
        await ledger.refund(account, first)
        assert await used(ledger, account, TOKENS) == (300_000,)

    # What the service says

    async def test_a_closed_service_starts_nothing_before_it_opens(self, ledger, account):
        until = time.time() + 20.0
        await ledger.throttle(account, until, "retry in 20 s")
        refused = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=1.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.reason) == ("closed", "retry in 20 s")
        assert until - time.time() - 0.5 <= refused.delay <= 21.0
        delay = await delay_of_next(ledger, account, MINUTE)
        assert until - time.time() - 0.5 <= delay <= 21.0

    async def test_after_a_closure_starts_keep_their_distance(self, ledger, account):
        await ledger.throttle(account, time.time() + 1.0, "busy")
        first = await delay_of_next(ledger, account, MINUTE)
        began = time.monotonic()
        second = await delay_of_next(ledger, account, MINUTE)
        assert second >= first + 60.0 / 20 - (time.monotonic() - began) - 0.5

    async def test_a_closure_is_extended_but_never_shortened(self, ledger, account):
        now = time.time()
        for until, reason in ((now + 200, "first"), (now + 100, "earlier"), (now + 300, "later")):
            await ledger.throttle(account, until, reason)
            status = await ledger.status(account, [MINUTE])
            expected = (300, "later") if reason == "later" else (200, "first")
            assert status.reason == expected[1]
            assert expected[0] - LATE <= status.closed_for <= expected[0] + 0.5

    async def test_a_booked_start_is_put_off_when_the_service_closes(self, ledger, account):
        booking = await book(ledger, account, MINUTE)
        until = time.time() + 20.0
        await ledger.throttle(account, until, "busy")
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert until - time.time() - 0.5 <= confirmed.delay <= 21.0
        assert await used(ledger, account, MINUTE) == (1,)

    async def test_a_closure_that_has_passed_closes_nothing(self, ledger, account):
        await ledger.throttle(account, time.time() - 10.0, "resets 7pm")
        await book(ledger, account, MINUTE)

    # Looking

    async def test_an_unused_quota_shows_nothing_used(self, ledger, account):
        status = await ledger.status(account, [MINUTE, DAY])
        assert [(s.name, s.used, s.amount, s.frees_in) for s in status.limits] == [
            ("rpm", 0, 20, None),
            ("rpd", 0, 20, None),
        ]
        assert (status.closed_for, status.reason) == (0.0, "")

    async def test_status_says_when_room_is_freed(self, ledger, account):
        began = time.monotonic()
        await book(ledger, account, MINUTE)
        (limit,) = (await ledger.status(account, [MINUTE])).limits
        assert limit.frees_in is not None
        assert 60.0 - (time.monotonic() - began) <= limit.frees_in <= 61.0

    async def test_accounts_do_not_touch_each_other(self, ledger, account):
        other = f"{account}-2"
        booking = await book(ledger, account, MINUTE, weight=Weight(requests=20))
        await ledger.throttle(account, time.time() + 60.0, "busy")
        await book(ledger, other, MINUTE)
        assert await ledger.settle(other, booking, [MINUTE], ONE) is False
        assert await ledger.refund(other, booking) is False
        assert await used(ledger, account, MINUTE) == (20,)
        assert await used(ledger, other, MINUTE) == (1,)

    @pytest.mark.parametrize(
        "text",
        ["", "q\"uo'te", "back\\slash", "nul\0byte", "line\nbreak", "{brace}:*", "日本 🐍", "null"],
        ids=ascii,
    )
    async def test_any_text_may_be_a_name(self, ledger, account, text: str):
        name, booking = account + text, new_id() + text
        limit = Limit(name=f"limit{text}", measure=Measure.REQUESTS, amount=20, per=60.0)
        assert await ledger.book(name, booking, [limit], ONE, max_delay=0.0) == Booked(delay=0.0)
        await ledger.throttle(name, time.time() + 60.0, f"busy{text}")
        status = await ledger.status(name, [limit])
        assert (status.limits[0].name, status.limits[0].used) == (limit.name, 1)
        assert status.reason == f"busy{text}"
        assert await ledger.settle(name, booking, [limit], Weight(requests=2)) is True
        assert await used(ledger, name, limit) == (2,)
        if text:
            assert await used(ledger, account, limit) == (0,)

    # Many at once

    async def test_fifty_tasks_never_fill_a_window_over_its_limit(self, ledger, account):
        starts: list[tuple[float, float]] = []

        async def call() -> None:
            booking, asked = new_id(), time.monotonic()
            booked = await ledger.book(account, booking, [REQUESTS], ONE, max_delay=LATE)
            assert isinstance(booked, Booked)
            while booked.delay > 0:
                await anyio.sleep(booked.delay)
                asked = time.monotonic()
                booked = await ledger.confirm(account, booking, [REQUESTS], ONE)
            starts.append((asked, time.monotonic()))
            assert await ledger.settle(account, booking, [REQUESTS], ONE) is True

        began = time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)
        assert len(starts) == 50
        assert fullest(starts, PER) <= 20
        assert 2 * PER <= time.monotonic() - began < LATE

    async def test_fifty_tasks_that_settle_and_refund_leave_an_exact_balance(self, ledger, account):
        async def call(number: int) -> None:
            booking = await book(ledger, account, TOKENS, weight=Weight(input_tokens=1_000))
            if number % 2:
                await ledger.refund(account, booking)
            else:
                await ledger.settle(account, booking, [TOKENS], Weight(output_tokens=number))

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(call, number)
        assert await used(ledger, account, TOKENS) == (sum(range(0, 50, 2)),)

    @pytest.mark.parametrize("after", [-1.0, 0.0, 0.0002, 0.001])
    async def test_a_cancelled_booking_is_never_half_done(self, ledger, account, after: float):
        for _ in range(20):
            with anyio.move_on_after(after):
                await ledger.book(account, new_id(), [MINUTE, DAY], ONE, max_delay=0.0)
        minute, day = await used(ledger, account, MINUTE, DAY)
        assert minute == day <= 20

    # Several ledgers on one store

    @needs("shares")
    async def test_what_one_ledger_books_fills_the_windows_of_another(
        self, ledger, open_ledger, account
    ):
        other = open_ledger()
        for each in (ledger, other) * 10:
            await book(each, account, MINUTE)
        for each in (ledger, other):
            refused = await each.book(account, new_id(), [MINUTE], ONE, max_delay=0.0)
            assert isinstance(refused, Refused)
            assert await used(each, account, MINUTE) == (20,)
        await other.aclose()

    @needs("shares")
    async def test_a_booking_may_be_settled_by_another_ledger_once(
        self, ledger, open_ledger, account
    ):
        other = open_ledger()
        booking = await book(ledger, account, MINUTE)
        assert await other.settle(account, booking, [MINUTE], Weight(requests=2)) is True
        assert await ledger.settle(account, booking, [MINUTE], Weight(requests=2)) is False
        assert await used(ledger, account, MINUTE) == (2,)
        await other.aclose()

    @needs("shares")
    async def test_a_closure_holds_for_every_ledger(self, ledger, open_ledger, account):
        other = open_ledger()
        booking = await book(other, account, MINUTE)
        await ledger.throttle(account, time.time() + 20.0, "busy")
        refused = await other.book(account, new_id(), [MINUTE], ONE, max_delay=0.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.reason) == ("closed", "busy")
        assert (await other.confirm(account, booking, [MINUTE], ONE)).delay > 0
        await other.aclose()

    @needs("shares")
    async def test_what_was_booked_outlives_its_ledger(self, ledger, open_ledger, account):
        other = open_ledger()
        booking = await book(other, account, MINUTE)
        await other.aclose()
        assert await used(ledger, account, MINUTE) == (1,)
        assert await ledger.settle(account, booking, [MINUTE], ONE) is True

    # The end

    async def test_closing_twice_is_fine(self, open_ledger, account):
        ledger = open_ledger()
        await book(ledger, account, MINUTE)
        await ledger.aclose()
        await ledger.aclose()

    async def test_what_was_never_used_can_be_closed(self, open_ledger):
        await open_ledger().aclose()

    @needs("closes")
    async def test_a_closed_ledger_says_so(self, open_ledger, account):
        ledger = open_ledger()
        await ledger.aclose()
        limits = [MINUTE]
        for call in (
            lambda: ledger.book(account, new_id(), limits, ONE, max_delay=0.0),
            lambda: ledger.confirm(account, new_id(), limits, ONE),
            lambda: ledger.settle(account, new_id(), limits, ONE),
            lambda: ledger.refund(account, new_id()),
            lambda: ledger.throttle(account, 0.0, ""),
            lambda: ledger.status(account, limits),
        ):
            with pytest.raises(LedgerError, match="closed"):
                await call()
