"""Ledgers that each break one promise about bookings, and the tests that have to see it."""

import math

from anyio.lowlevel import checkpoint
from attrs import evolve

from leyline.clock import Clock
from leyline.limits import Limit, Measure
from leyline.quota import Booked, Refused
from leyline.quota.windows import SlidingLog, slack
from tests.testing.sound_ledger import Accounts, Sound


class FixedWindow(Sound):
    """Begins to count anew at full minutes: twice the limit may start about one."""

    caught_by = ("test_what_was_used_late_counts_for_a_whole_window",)

    def until(self: SlidingLog, k: int) -> float:
        return (k * self.width // self.span + 1) * self.span


class TokenBucket(Sound):
    """Fills up evenly: a full bucket and what flows in meanwhile are more than the limit."""

    caught_by = ("test_what_fits_starts_at_once_and_the_next_one_a_window_later",)

    def until(self: SlidingLog, k: int) -> float:
        return (k + 1) * self.width + self.span / 20


class HalvesTheQuota(Sound):
    """Counts each start for two windows: never over the limit, and half of it unused."""

    caught_by = ("test_a_window_that_has_passed_leaves_all_its_room",)

    def until(self: SlidingLog, k: int) -> float:
        return (k + 1) * self.width + 2 * self.span


class BooksWhatItRefuses(Sound):
    """Says no, and takes the room all the same."""

    caught_by = ("test_what_is_refused_is_not_booked",)

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        if isinstance(outcome, Refused):
            await super().book(account, booking, limits, weight, max_delay=600.0)
        return outcome


class NeedsALimit(Sound):
    """Knows no account without one."""

    caught_by = ("test_a_quota_without_limits_lets_everything_start",)

    async def book(self, account, booking, limits, weight, **options):
        if not limits:
            return Refused(delay=0.0, limit="none")
        return await super().book(account, booking, limits, weight, **options)


class BooksInPart(Sound):
    """Leaves behind what it booked before a limit refused."""

    caught_by = ("test_all_limits_are_booked_together_or_none",)

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        if isinstance(outcome, Refused):
            await super().book(account, f"{booking}-1", limits[:1], weight, max_delay=0.0)
        return outcome


class BooksOneAfterAnother(Sound):
    """Can be cancelled between two limits."""

    caught_by = ("test_a_cancelled_booking_is_never_half_done",)

    async def book(self, account, booking, limits, weight, **options):
        if len(limits) == 2 and options["max_delay"] == 0.0:
            await super().book(account, f"{booking}-1", limits[:1], weight, max_delay=0.0)
            await checkpoint()
            await super().refund(account, f"{booking}-1")
        return await super().book(account, booking, limits, weight, **options)


class LetsSmallOnesPass(Sound):
    """Fills every gap, so that a large one waits for ever."""

    caught_by = ("test_a_small_one_does_not_overtake_a_large_one_that_waits",)

    async def book(self, account, booking, limits, weight, **options):
        state = self._accounts[account]
        if weight.requests == 1:
            state.last = float("-inf")
            if any(limit.share > 1 for limit in (await super().status(account, limits)).limits):
                return Booked(delay=0.0)
        return await super().book(account, booking, limits, weight, **options)


class CountsByTheWallClock(Sound):
    """Put forward, it forgets; put back, it waits."""

    caught_by = ("test_a_wall_clock_that_is_put_right_opens_no_window",)

    def __init__(self, clock: Clock, accounts: Accounts) -> None:
        super().__init__(evolve(clock, monotonic=clock.wall), accounts)


class Other(Sound):
    """Takes limits for others than they are."""

    def read(self, limit: Limit) -> Limit:
        raise NotImplementedError

    async def book(self, account, booking, limits, weight, **options):
        limits = [self.read(limit) for limit in limits]
        return await super().book(account, booking, limits, weight, **options)

    async def status(self, account, limits):
        return await super().status(account, [self.read(limit) for limit in limits])


class IgnoresTheGuard(Other):
    """Starts may arrive bunched."""

    caught_by = ("test_a_guard_lengthens_the_window",)

    def read(self, limit):
        return evolve(limit, guard=0.0)


class CountsDaysFromTheFirstStart(Other):
    """24 hours are not a calendar day."""

    caught_by = ("test_a_day_that_is_used_up_ends_at_its_reset",)

    def read(self, limit):
        return evolve(limit, reset=None)


class CountsOneKindOfToken(Other):
    """Takes what is sent for everything."""

    caught_by = ("test_each_limit_counts_what_it_measures",)

    def read(self, limit):
        only = limit.measure is Measure.TOKENS
        return evolve(limit, measure=Measure.INPUT_TOKENS) if only else limit


class CountsToTheSecond(Sound):
    """Starts exactly when it says, and thinks that everybody does."""

    caught_by = ("test_a_start_may_come_a_little_after_its_moment",)

    def until(self: SlidingLog, k: int) -> float:
        return k * self.width + self.span - slack(self.span)


class CountsWhoWaits(Sound):
    """Shows more starts than the limit allows, though they are yet to come."""

    caught_by = ("test_what_is_booked_for_later_is_not_used_yet",)

    async def status(self, account, limits):
        status = await super().status(account, limits)
        counted = (evolve(one, used=one.used + one.waiting, waiting=0) for one in status.limits)
        return evolve(status, limits=tuple(counted))


class WaitsForEver(Sound):
    """Does not see that a moment has come."""

    caught_by = ("test_what_was_booked_for_later_is_used_once_its_moment_has_come",)
    _late = False

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        self._late = outcome.delay > 0
        return outcome

    async def status(self, account, limits):
        status = await super().status(account, limits)
        if not self._late:
            return status
        waits = (evolve(one, used=one.used + one.waiting - 1, waiting=1) for one in status.limits)
        return evolve(status, limits=tuple(waits))


class ForgetsWhoWaits(Sound):
    """A limit is full, and no more than that."""

    caught_by = ("test_who_waits_fills_a_limit_as_well",)

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        full = isinstance(outcome, Booked) and outcome.share > 1.0
        return evolve(outcome, share=1.0) if full else outcome


class NamesTheFirstLimit(Sound):
    """Whichever is the fullest."""

    caught_by = ("test_a_booking_names_the_fullest_limit",)

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        named = isinstance(outcome, Booked) and limits
        return evolve(outcome, fullest=limits[0].name) if named else outcome


class TakesADryRunForAnother(Sound):
    """Knows no other."""

    caught_by = (
        "test_a_dry_run_starts_at_once_and_counts",
        "test_a_dry_run_that_never_fits_is_counted_too",
    )

    async def book(self, account, booking, limits, weight, *, max_delay, dry_run=False):
        return await super().book(account, booking, limits, weight, max_delay=max_delay)


class BooksADryRunForLater(Sound):
    """Counts it where it would have started."""

    caught_by = ("test_a_dry_run_starts_at_once_and_counts",)

    async def book(self, account, booking, limits, weight, *, max_delay, dry_run=False):
        longest = math.inf if dry_run else max_delay
        return await super().book(account, booking, limits, weight, max_delay=longest)


class SaysNothingOfTheShare(Sound):
    """Nobody is told that a level has changed."""

    caught_by = ("test_a_booking_says_how_full_the_fullest_limit_is",)

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        return evolve(outcome, share=0.0) if isinstance(outcome, Booked) else outcome


class PromisesTheImpossible(Sound):
    """Has a moment for what is larger than the limit."""

    caught_by = ("test_what_never_fits_is_refused_for_ever",)

    async def book(self, account, booking, limits, weight, **options):
        outcome = await super().book(account, booking, limits, weight, **options)
        if isinstance(outcome, Refused) and outcome.delay == float("inf"):
            return evolve(outcome, delay=600.0)
        return outcome
