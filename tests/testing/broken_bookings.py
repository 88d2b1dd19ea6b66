"""Ledgers that each break one promise about bookings, and the tests that have to see it."""

from anyio.lowlevel import checkpoint
from attrs import evolve

from leyline.clock import Clock
from leyline.limits import Limit, Measure
from leyline.quota import Booked, Refused
from leyline.quota.windows import SlidingLog
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

    async def book(self, account, booking, limits, weight, *, max_delay):
        outcome = await super().book(account, booking, limits, weight, max_delay=max_delay)
        if isinstance(outcome, Refused):
            await super().book(account, booking, limits, weight, max_delay=600.0)
        return outcome


class NeedsALimit(Sound):
    """Knows no account without one."""

    caught_by = ("test_a_quota_without_limits_lets_everything_start",)

    async def book(self, account, booking, limits, weight, *, max_delay):
        if not limits:
            return Refused(delay=0.0, limit="none")
        return await super().book(account, booking, limits, weight, max_delay=max_delay)


class BooksInPart(Sound):
    """Leaves behind what it booked before a limit refused."""

    caught_by = ("test_all_limits_are_booked_together_or_none",)

    async def book(self, account, booking, limits, weight, *, max_delay):
        outcome = await super().book(account, booking, limits, weight, max_delay=max_delay)
        if isinstance(outcome, Refused):
            await super().book(account, f"{booking}-1", limits[:1], weight, max_delay=0.0)
        return outcome


class BooksOneAfterAnother(Sound):
    """Can be cancelled between two limits."""

    caught_by = ("test_a_cancelled_booking_is_never_half_done",)

    async def book(self, account, booking, limits, weight, *, max_delay):
        if len(limits) == 2 and max_delay == 0.0:
            await super().book(account, f"{booking}-1", limits[:1], weight, max_delay=0.0)
            await checkpoint()
            await super().refund(account, f"{booking}-1")
        return await super().book(account, booking, limits, weight, max_delay=max_delay)


class LetsSmallOnesPass(Sound):
    """Fills every gap, so that a large one waits for ever."""

    caught_by = ("test_a_small_one_does_not_overtake_a_large_one_that_waits",)

    async def book(self, account, booking, limits, weight, *, max_delay):
        state = self._accounts[account]
        if weight.requests == 1:
            state.last = float("-inf")
            if any(limit.share > 1 for limit in (await super().status(account, limits)).limits):
                return Booked(delay=0.0)
        return await super().book(account, booking, limits, weight, max_delay=max_delay)


class AlwaysConfirms(Sound):
    """Lets start whoever asks."""

    caught_by = (
        "test_a_start_that_comes_early_has_to_wait_for_its_moment",
        "test_a_start_that_comes_late_counts_from_when_it_comes",
        "test_a_start_that_the_store_has_lost_is_booked_again",
        "test_a_booked_start_is_put_off_when_the_service_closes",
    )

    async def confirm(self, account, booking, limits, weight):
        return Booked(delay=0.0)


class BooksTwice(Sound):
    """Counts a start when it is booked, and when it is confirmed."""

    caught_by = ("test_a_start_whose_moment_has_come_is_confirmed",)

    async def confirm(self, account, booking, limits, weight):
        confirmed = await super().confirm(account, booking, limits, weight)
        if confirmed.delay == 0.0:
            await super().book(account, f"{booking}-2", limits, weight, max_delay=0.0)
        return confirmed


class NeverAdvances(Sound):
    """Keeps a booked moment though an earlier one was given back."""

    caught_by = ("test_a_start_moves_into_room_that_was_freed",)

    async def confirm(self, account, booking, limits, weight):
        state, now = self._accounts[account], self._clock.monotonic()
        held = state.bookings.get(booking)
        if held is not None and held.at > now and self._clock.wall() > state.closed_until:
            return Booked(delay=held.at - now)
        return await super().confirm(account, booking, limits, weight)


class SendsLateOnesToTheBack(Sound):
    """Lets those who were held up wait behind all who came meanwhile."""

    caught_by = ("test_a_start_that_comes_late_keeps_its_place",)

    async def confirm(self, account, booking, limits, weight):
        held = self._accounts[account].bookings.get(booking)
        if held is not None and held.at < self._clock.monotonic() - 1.0:
            await super().refund(account, booking)
        return await super().confirm(account, booking, limits, weight)


class JumpsTheQueue(Sound):
    """Books anew whoever confirms early, as if nobody stood in front."""

    caught_by = ("test_room_that_was_freed_is_no_way_past_those_in_front",)

    async def confirm(self, account, booking, limits, weight):
        state = self._accounts[account]
        held = state.bookings.get(booking)
        if held is not None and held.at > self._clock.monotonic():
            await super().refund(account, booking)
            if any(limit.share > 1 for limit in (await super().status(account, limits)).limits):
                return Booked(delay=0.0)
            await super().book(account, booking, limits, weight, max_delay=600.0)
        return await super().confirm(account, booking, limits, weight)


class CountsByTheWallClock(Sound):
    """Put forward, it forgets; put back, it waits."""

    caught_by = ("test_a_wall_clock_that_is_put_right_opens_no_window",)

    def __init__(self, clock: Clock, accounts: Accounts) -> None:
        super().__init__(evolve(clock, monotonic=clock.wall), accounts)


class Other(Sound):
    """Takes limits for others than they are."""

    def read(self, limit: Limit) -> Limit:
        raise NotImplementedError

    async def book(self, account, booking, limits, weight, *, max_delay):
        limits = [self.read(limit) for limit in limits]
        return await super().book(account, booking, limits, weight, max_delay=max_delay)

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


class CountsWhoWaits(Sound):
    """Shows more starts than the limit allows, though they are yet to come."""

    caught_by = ("test_what_is_booked_for_later_is_not_used_yet",)

    async def status(self, account, limits):
        status = await super().status(account, limits)
        counted = (evolve(one, used=one.used + one.waiting, waiting=0) for one in status.limits)
        return evolve(status, limits=tuple(counted))


class SaysNothingOfTheShare(Sound):
    """Nobody is told that a level has changed."""

    caught_by = ("test_a_booking_says_how_full_the_fullest_limit_is",)

    async def book(self, account, booking, limits, weight, *, max_delay):
        outcome = await super().book(account, booking, limits, weight, max_delay=max_delay)
        return evolve(outcome, share=0.0) if isinstance(outcome, Booked) else outcome


class PromisesTheImpossible(Sound):
    """Has a moment for what is larger than the limit."""

    caught_by = ("test_what_never_fits_is_refused_for_ever",)

    async def book(self, account, booking, limits, weight, *, max_delay):
        outcome = await super().book(account, booking, limits, weight, max_delay=max_delay)
        if isinstance(outcome, Refused) and outcome.delay == float("inf"):
            return evolve(outcome, delay=600.0)
        return outcome
