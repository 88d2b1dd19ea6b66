"""Ledgers that each break one promise about what is booked, and the tests that have to see it."""

from leyline.limits import Weight
from leyline.quota import Booked
from tests.testing.sound_ledger import Sound


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


class BooksAgainWhoAsks(Sound):
    """Counts whoever asks once more."""

    caught_by = ("test_a_start_that_comes_early_has_to_wait_for_its_moment",)

    async def confirm(self, account, booking, limits, weight):
        confirmed = await super().confirm(account, booking, limits, weight)
        if confirmed.delay > 0:
            await super().book(account, f"{booking}-2", limits, weight, max_delay=600.0)
        return confirmed


class LetsLateOnesPushIn(Sound):
    """Gives to those who were held up what others have booked for later."""

    caught_by = ("test_a_start_that_comes_late_takes_nothing_from_those_booked_for_later",)

    async def confirm(self, account, booking, limits, weight):
        held = self._accounts[account].bookings.get(booking)
        if held is not None and held.at < self._clock.monotonic() - 1.0:
            return Booked(delay=0.0)
        return await super().confirm(account, booking, limits, weight)


class PutsOffThoseBookedForLater(Sound):
    """Lets those who were held up start, and the others make room for them."""

    caught_by = ("test_a_start_that_comes_late_takes_nothing_from_those_booked_for_later",)

    async def confirm(self, account, booking, limits, weight):
        state, now = self._accounts[account], self._clock.monotonic()
        held = state.bookings.get(booking)
        if held is not None and held.at < now - 1.0:
            later = {name: held for name, held in state.bookings.items() if held.at > now}
            for name in (booking, *later):
                await super().refund(account, name)
            await super().book(account, booking, limits, weight, max_delay=0.0)
            for name, other in later.items():
                requests = other.entries[limits[0].name][1]
                await super().book(
                    account, name, limits, Weight(requests=requests), max_delay=600.0
                )
        return await super().confirm(account, booking, limits, weight)


class RefundsWhatHasStartedAlone(Sound):
    """Keeps the place of those who wait no longer."""

    caught_by = ("test_a_start_that_is_given_back_before_its_moment_holds_up_nobody",)

    async def refund(self, account, booking):
        held = self._accounts[account].bookings.get(booking)
        if held is not None and held.at > self._clock.monotonic():
            return True
        return await super().refund(account, booking)
