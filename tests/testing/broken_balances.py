"""Ledgers that each break one promise about balances, closures or sharing, and who sees it."""

from anyio.lowlevel import checkpoint
from attrs import evolve

from leyline.clock import Clock
from leyline.errors import LedgerError
from leyline.limits import Weight
from leyline.quota.account import Account
from tests.testing.sound_ledger import Accounts, Sound


class SettlesTwice(Sound):
    """Charges again whenever it is told again."""

    caught_by = ("test_settling_twice_counts_once",)

    async def settle(self, account, booking, limits, weight):
        if not await super().settle(account, booking, limits, weight):
            await super().book(account, booking, limits, weight, max_delay=0.0)
            await super().settle(account, booking, limits, weight)
        return True


class SettlesNothing(Sound):
    """What was reserved stays, whatever was used."""

    caught_by = ("test_what_was_used_replaces_what_was_reserved",)

    async def settle(self, account, booking, limits, weight):
        return await super().settle(account, booking, [], weight)


class RefundsNothing(Sound):
    """Says that it gave back, and keeps it."""

    caught_by = ("test_a_refund_makes_room_at_once_and_only_once",)

    async def refund(self, account, booking):
        return await super().settle(account, booking, [], Weight())


class RefundsWhatWasSettled(Sound):
    """Forgets nothing that was booked, and gives it back twice."""

    caught_by = ("test_what_was_settled_cannot_be_refunded",)

    async def settle(self, account, booking, limits, weight):
        held = self._accounts[account].bookings.get(booking)
        done = await super().settle(account, booking, limits, weight)
        if held is not None and done:
            self._accounts[account].bookings[booking] = held
        return done


class OpensTooEarly(Sound):
    """Believes the last moment it was told, also an earlier one."""

    caught_by = ("test_a_closure_is_extended_but_never_shortened",)

    async def throttle(self, account, until, reason):
        self._accounts[account].closed_until = 0.0
        await super().throttle(account, until, reason)


class IgnoresWhatTheServiceSays(Sound):
    """Knows limits alone."""

    caught_by = ("test_a_closed_service_starts_nothing_before_it_opens",)

    async def throttle(self, account, until, reason):
        pass


class BelievesThePast(Sound):
    """Closes for a minute at the least."""

    caught_by = ("test_a_closure_that_has_passed_closes_nothing",)

    async def throttle(self, account, until, reason):
        await super().throttle(account, max(until, self._clock.wall() + 60.0), reason)


class Storms(Sound):
    """Lets everybody in at once when a service opens."""

    caught_by = ("test_after_a_closure_starts_keep_their_distance",)

    async def throttle(self, account, until, reason):
        await super().throttle(account, until, reason)
        self._accounts[account].reopening = float("-inf")


class FreesNothing(Sound):
    """Says that room is freed where none is taken."""

    caught_by = ("test_an_unused_quota_shows_nothing_used",)

    async def status(self, account, limits):
        status = await super().status(account, limits)
        return evolve(
            status, limits=tuple(evolve(s, frees_in=s.frees_in or 0.0) for s in status.limits)
        )


class LosesWrites(Sound):
    """Reads, waits, writes: what others wrote meanwhile is gone."""

    caught_by = (
        "test_fifty_tasks_never_fill_a_window_over_its_limit",
        "test_fifty_tasks_that_settle_and_refund_leave_an_exact_balance",
    )

    async def book(self, account, booking, limits, weight, **options):
        state = Account.load(self._accounts[account].dump())
        await checkpoint()
        now, wall = self._clock.monotonic(), self._clock.wall()
        outcome = state.book(booking, limits, weight, now=now, wall=wall, **options)
        self._accounts[account] = state
        return outcome


class MixesAccounts(Sound):
    """Takes names that begin alike for one."""

    caught_by = ("test_accounts_do_not_touch_each_other", "test_any_text_may_be_a_name")

    class store(Accounts):  # noqa: N801
        def __getitem__(self, name: str) -> Account:
            return super().__getitem__(name[:30])


class KeepsToItself(Sound):
    """Every ledger has a store of its own."""

    caught_by = (
        "test_what_one_ledger_books_fills_the_windows_of_another",
        "test_a_booking_may_be_settled_by_another_ledger_once",
        "test_a_closure_holds_for_every_ledger",
        "test_what_was_booked_outlives_its_ledger",
    )

    def __init__(self, clock: Clock, accounts: Accounts) -> None:
        super().__init__(clock, Accounts(Account))


class ForgetsAtItsEnd(Sound):
    """Takes its bookings with it."""

    caught_by = ("test_what_was_booked_outlives_its_ledger",)

    async def aclose(self) -> None:
        await super().aclose()
        self._shared.clear()


class NeverCloses(Sound):
    """Goes on after its end."""

    caught_by = ("test_a_closed_ledger_says_so",)

    async def aclose(self) -> None:
        pass


class ClosesWhatItOpened(Sound):
    """Cannot be closed before it was used."""

    caught_by = ("test_what_was_never_used_can_be_closed",)

    async def aclose(self) -> None:
        if not self._shared:
            raise LedgerError("memory", "it was never opened")
        await super().aclose()


class ClosesOnce(Sound):
    """Has nothing left to close the second time."""

    caught_by = ("test_closing_twice_is_fine",)

    async def aclose(self) -> None:
        self._accounts  # noqa: B018  (raises)
        await super().aclose()
