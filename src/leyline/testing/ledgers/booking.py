"""Bookings: the earliest start under all limits, and what is said of it."""

import math

import pytest
from attrs import evolve

from leyline.clock import Clock
from leyline.limits import Limit, Measure, Weight
from leyline.quota import Booked, Ledger, Refused, slack
from leyline.testing.ledgers.fixtures import LedgerFixtures, OpenLedger
from leyline.testing.ledgers.samples import (
    MINUTE,
    ONE,
    PER,
    REQUESTS,
    TOKENS,
    book,
    book_ahead,
    delay_of_next,
    new_id,
    taken,
)


class BookingDemands(LedgerFixtures):
    """``book``."""

    # No window over its limit, and every window used

    async def test_what_fits_starts_at_once_and_the_next_one_a_window_later(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """A whole limit at once; then nothing trickles in before the window is over."""
        began = clock.monotonic()
        for _ in range(20):
            await book(ledger, account, REQUESTS)
        delay = await delay_of_next(ledger, account, REQUESTS)
        assert PER - (clock.monotonic() - began) <= delay <= PER * 1.1

    async def test_what_was_used_late_counts_for_a_whole_window(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Windows slide: a fixed one would let twice the limit start about its end."""
        await book(ledger, account, REQUESTS)
        await clock.sleep(PER * 0.8)
        began = clock.monotonic()
        await book(ledger, account, REQUESTS, weight=Weight(requests=19))
        delay = await delay_of_next(ledger, account, REQUESTS, weight=Weight(requests=2))
        assert PER - (clock.monotonic() - began) <= delay <= PER * 1.1

    async def test_a_window_that_has_passed_leaves_all_its_room(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """What is used no longer counts once it is a window old."""
        for _ in range(2):
            for _ in range(20):
                await book(ledger, account, REQUESTS)
            await clock.sleep(PER * 1.2)

    async def test_bookings_ahead_fill_one_window_after_another(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """A start that is booked for later counts in its own window."""
        began = clock.monotonic()
        delays = [await delay_of_next(ledger, account, REQUESTS) for _ in range(60)]
        elapsed = clock.monotonic() - began
        assert delays[:20] == [0.0] * 20
        assert all(PER - elapsed <= delay <= PER * 1.1 for delay in delays[20:40])
        assert all(2 * PER - elapsed <= delay <= 2 * PER * 1.1 for delay in delays[40:])

    async def test_a_start_may_come_a_little_after_its_moment(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Up to ``slack`` seconds, of which nobody is told; so it counts that much longer."""
        began = clock.monotonic()
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        delay = await delay_of_next(ledger, account, MINUTE)
        coarse = 0.001  # as a store's own clock may be
        assert delay >= 60.0 + slack(60.0) - coarse - (clock.monotonic() - began)

    async def test_what_is_booked_for_later_is_not_used_yet(
        self, ledger: Ledger, account: str
    ) -> None:
        """Nobody should read of more starts than there may be."""
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        for _ in range(3):
            await book_ahead(ledger, account, MINUTE)
        (limit,) = (await ledger.status(account, [MINUTE])).limits
        assert (limit.used, limit.waiting, limit.left) == (20, 3, 0)
        refused = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=1.0)
        assert isinstance(refused, Refused)
        assert (refused.used, refused.waiting) == (20, 3)

    async def test_what_was_booked_for_later_is_used_once_its_moment_has_come(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """The ledger need not be asked then: who was told the moment starts by himself."""
        wide = evolve(MINUTE, amount=100)
        await book(ledger, account, REQUESTS, wide, weight=Weight(requests=20))
        delay = await delay_of_next(ledger, account, REQUESTS, wide)
        await clock.sleep(delay + 0.1)
        (limit,) = (await ledger.status(account, [wide])).limits
        assert (limit.used, limit.waiting) == (21, 0)

    async def test_a_guard_lengthens_the_window(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """``Limit.guard``: what leaves evenly may arrive bunched."""
        guarded = evolve(MINUTE, guard=30.0)
        began = clock.monotonic()
        await book(ledger, account, guarded, weight=Weight(requests=20))
        delay = await delay_of_next(ledger, account, guarded)
        assert 90.0 - (clock.monotonic() - began) <= delay <= 90.0 * 1.1

    async def test_each_limit_counts_what_it_measures(self, ledger: Ledger, account: str) -> None:
        """``Weight.of`` says how much of a weight a limit takes."""
        limits = [
            Limit(name=measure, measure=measure, amount=1000, per=60.0) for measure in Measure
        ]
        weight = Weight(requests=2, input_tokens=300, output_tokens=50)
        await book(ledger, account, *limits, weight=weight)
        expected = tuple(weight.of(measure) for measure in Measure)
        assert await taken(ledger, account, *limits) == expected

    async def test_a_small_one_does_not_overtake_a_large_one_that_waits(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """First come, first served: no start lies before one that was booked earlier."""
        await book(ledger, account, MINUTE, weight=Weight(requests=15))
        began = clock.monotonic()
        large = await delay_of_next(ledger, account, MINUTE, weight=Weight(requests=10))
        small = await delay_of_next(ledger, account, MINUTE)
        assert small >= large - (clock.monotonic() - began) > 0

    @pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forward", "back"])
    async def test_a_wall_clock_that_is_put_right_opens_no_window(
        self, open_ledger: OpenLedger, account: str, clock: Clock, step: float
    ) -> None:
        """Windows are counted on a clock that only goes forward."""
        put_by = 0.0
        ledger = open_ledger(evolve(clock, wall=lambda: clock.wall() + put_by))
        began = clock.monotonic()
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        put_by = step
        assert await taken(ledger, account, MINUTE) == (20,)
        delay = await delay_of_next(ledger, account, MINUTE)
        await ledger.aclose()
        assert 60.0 - (clock.monotonic() - began) <= delay <= 60.0 * 1.1

    # What does not fit

    async def test_a_start_that_is_too_late_is_refused_and_says_when(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """``Refused``: which limit stands in the way, how full it is, and when to come back."""
        began = clock.monotonic()
        for _ in range(20):
            await book(ledger, account, MINUTE)
        refused = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=10.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.used, refused.amount) == ("rpm", 20, 20)
        assert 60.0 - (clock.monotonic() - began) <= refused.delay <= 61.0

    async def test_what_is_refused_is_not_booked(self, ledger: Ledger, account: str) -> None:
        """It takes no room, and there is nothing to give back."""
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        refused = new_id()
        await ledger.book(account, refused, [MINUTE], ONE, max_delay=0.0)
        assert await taken(ledger, account, MINUTE) == (20,)
        assert await ledger.refund(account, refused) is False

    async def test_what_never_fits_is_refused_for_ever(
        self, ledger: Ledger, account: str, day: Limit
    ) -> None:
        """A weight over a limit's amount has an infinite delay, however long one would wait."""
        heavy = Weight(requests=21)
        for limit in (MINUTE, day):
            refused = await ledger.book(account, new_id(), [limit], heavy, max_delay=math.inf)
            assert isinstance(refused, Refused)
            assert refused.delay == math.inf
            assert refused.limit == limit.name

    async def test_a_day_that_is_used_up_ends_at_its_reset(
        self, ledger: Ledger, account: str, day: Limit, clock: Clock
    ) -> None:
        """``Limit.reset``: calendar days, not windows of 24 hours."""
        assert day.reset is not None
        began = clock.wall()
        await book(ledger, account, day, weight=Weight(requests=20))
        refused = await ledger.book(account, new_id(), [day], ONE, max_delay=10.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.used, refused.amount) == ("rpd", 20, 20)
        ends = day.reset.ends(began)
        assert ends - clock.wall() - 0.5 <= refused.delay <= ends - began + 1.0

    async def test_all_limits_are_booked_together_or_none(
        self, ledger: Ledger, account: str, day: Limit
    ) -> None:
        """What one limit refuses has touched no other."""
        weight = Weight(input_tokens=300_000, output_tokens=100_000)
        limits = [MINUTE, TOKENS, day]
        for _ in range(2):
            await book(ledger, account, *limits, weight=weight)
        refused = await ledger.book(account, new_id(), limits, weight, max_delay=0.0)
        assert isinstance(refused, Refused)
        assert refused.limit == "tpm"
        assert await taken(ledger, account, *limits) == (2, 800_000, 2)

    async def test_a_quota_without_limits_lets_everything_start(
        self, ledger: Ledger, account: str
    ) -> None:
        """A service without limits may still be closed, so it has an account."""
        booking = await book(ledger, account)
        assert await ledger.settle(account, booking, [], ONE) is True

    async def test_a_booking_says_how_full_the_fullest_limit_is(
        self, ledger: Ledger, account: str
    ) -> None:
        """``Booked.share``: levels are told from it, without another look into the store."""
        for requests, tokens, share in ((5, 100_000, 0.25), (5, 800_000, 0.9), (8, 0, 0.9)):
            weight = Weight(requests=requests, input_tokens=tokens)
            booked = await ledger.book(account, new_id(), [MINUTE, TOKENS], weight, max_delay=0.0)
            assert isinstance(booked, Booked)
            assert math.isclose(booked.share, share)

    async def test_who_waits_fills_a_limit_as_well(self, ledger: Ledger, account: str) -> None:
        """``Booked.share`` is more than 1 where starts are booked for later."""
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        for share in (1.05, 1.1, 1.15):
            booked = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=600.0)
            assert isinstance(booked, Booked)
            assert math.isclose(booked.share, share)

    async def test_a_booking_names_the_fullest_limit(self, ledger: Ledger, account: str) -> None:
        """``Booked.fullest``: the one whose share it is; none where there is no limit."""
        for requests, tokens, fullest in ((1, 100_000, "tpm"), (10, 0, "rpm"), (1, 600_000, "tpm")):
            weight = Weight(requests=requests, input_tokens=tokens)
            for limits in ([MINUTE, TOKENS], [TOKENS, MINUTE]):
                booking = new_id()
                booked = await ledger.book(account, booking, limits, weight, max_delay=0.0)
                assert isinstance(booked, Booked)
                assert booked.fullest == fullest
                await ledger.refund(account, booking)
            await book(ledger, account, MINUTE, TOKENS, weight=weight)
        booked = await ledger.book(account, new_id(), [], ONE, max_delay=0.0)
        assert isinstance(booked, Booked)
        assert booked.fullest == ""

    # Counted, and not held back

    async def test_a_dry_run_starts_at_once_and_counts(
        self, ledger: Ledger, account: str, day: Limit, clock: Clock
    ) -> None:
        """Whatever the delay that it is told: when it might have started otherwise."""
        began = clock.monotonic()
        limits = [MINUTE, evolve(day, amount=100)]
        await book(ledger, account, *limits, weight=Weight(requests=20))
        dry = new_id()
        booked = await ledger.book(account, dry, limits, ONE, max_delay=0.0, dry_run=True)
        assert isinstance(booked, Booked)
        assert 60.0 - (clock.monotonic() - began) <= booked.delay <= 61.0
        status = await ledger.status(account, limits)
        assert [(limit.used, limit.waiting) for limit in status.limits] == [(21, 0), (21, 0)]
        assert await ledger.settle(account, dry, limits, Weight(requests=3)) is True
        assert await taken(ledger, account, *limits) == (23, 23)

    async def test_a_dry_run_that_never_fits_is_counted_too(
        self, ledger: Ledger, account: str
    ) -> None:
        """Its delay is infinite, and it is booked all the same."""
        dry, heavy = new_id(), Weight(requests=21)
        booked = await ledger.book(account, dry, [MINUTE], heavy, max_delay=0.0, dry_run=True)
        assert isinstance(booked, Booked)
        assert booked.delay == math.inf
        assert await taken(ledger, account, MINUTE) == (21,)
        assert await ledger.refund(account, dry) is True
