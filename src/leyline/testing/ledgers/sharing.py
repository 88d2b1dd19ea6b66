"""Several ledgers on one store, which outlives each of them."""

import pytest
from attrs import evolve

from leyline.clock import Clock
from leyline.errors import LedgerError
from leyline.limits import Weight
from leyline.quota import Ledger, Refused
from leyline.testing.ledgers.fixtures import LedgerFixtures, OpenLedger
from leyline.testing.ledgers.samples import MINUTE, ONE, book, new_id, taken


class SharingDemands(LedgerFixtures):
    """Everybody sees the same account."""

    async def test_what_one_ledger_books_fills_the_windows_of_another(
        self, ledger: Ledger, open_ledger: OpenLedger, account: str, clock: Clock
    ) -> None:
        """Also where the wall clock of one is half a minute ahead."""
        other = open_ledger(evolve(clock, wall=lambda: clock.wall() + 30.0))
        for each in (ledger, other) * 10:
            await book(each, account, MINUTE)
        for each in (ledger, other):
            refused = await each.book(account, new_id(), [MINUTE], ONE, max_delay=0.0)
            assert isinstance(refused, Refused)
            assert await taken(each, account, MINUTE) == (20,)
        await other.aclose()

    async def test_a_booking_may_be_settled_by_another_ledger_once(
        self, ledger: Ledger, open_ledger: OpenLedger, account: str, clock: Clock
    ) -> None:
        """A booking belongs to the store, not to who made it."""
        other = open_ledger(clock)
        booking = await book(ledger, account, MINUTE)
        assert await other.settle(account, booking, [MINUTE], Weight(requests=2)) is True
        assert await ledger.settle(account, booking, [MINUTE], Weight(requests=2)) is False
        assert await taken(ledger, account, MINUTE) == (2,)
        await other.aclose()

    async def test_a_closure_holds_for_every_ledger(
        self, ledger: Ledger, open_ledger: OpenLedger, account: str, clock: Clock
    ) -> None:
        """What one was told, the others need not learn by being refused."""
        other = open_ledger(clock)
        booking = await book(other, account, MINUTE)
        await ledger.throttle(account, clock.wall() + 20.0, "busy")
        refused = await other.book(account, new_id(), [MINUTE], ONE, max_delay=0.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.reason) == ("closed", "busy")
        assert (await other.confirm(account, booking, [MINUTE], ONE)).delay > 0
        await other.aclose()

    async def test_what_was_booked_outlives_its_ledger(
        self, ledger: Ledger, open_ledger: OpenLedger, account: str, clock: Clock
    ) -> None:
        """A crash or an end keeps what was reserved."""
        other = open_ledger(clock)
        booking = await book(other, account, MINUTE)
        await other.aclose()
        assert await taken(ledger, account, MINUTE) == (1,)
        assert await ledger.settle(account, booking, [MINUTE], ONE) is True

    async def test_a_closed_ledger_says_so(
        self, open_ledger: OpenLedger, account: str, clock: Clock
    ) -> None:
        """After ``aclose``, every method raises LedgerError."""
        ledger = open_ledger(clock)
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
