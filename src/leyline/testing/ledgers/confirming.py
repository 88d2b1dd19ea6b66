"""Confirmations: what becomes of a booked start until its moment."""

from leyline.clock import Clock
from leyline.limits import Weight
from leyline.quota import Ledger
from leyline.testing.ledgers.fixtures import LedgerFixtures
from leyline.testing.ledgers.samples import LATE, MINUTE, ONE, book, book_ahead, new_id, taken


class ConfirmingDemands(LedgerFixtures):
    """``confirm``, and ``refund`` of what was not confirmed."""

    async def test_a_start_whose_moment_has_come_is_confirmed(
        self, ledger: Ledger, account: str
    ) -> None:
        """And is booked no second time."""
        booking = await book(ledger, account, MINUTE)
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert confirmed.delay == 0.0
        assert await taken(ledger, account, MINUTE) == (1,)

    async def test_a_start_that_comes_early_has_to_wait_for_its_moment(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """``confirm`` before the moment changes nothing where no room was freed, however often."""
        began = clock.monotonic()
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        booking, delay = await book_ahead(ledger, account, MINUTE)
        for _ in range(3):
            confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
            assert 60.0 - (clock.monotonic() - began) <= confirmed.delay <= delay
        assert await taken(ledger, account, MINUTE) == (21,)

    async def test_a_start_that_comes_late_counts_from_when_it_comes(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Else two windows' starts could happen in one."""
        booking = await book(ledger, account, MINUTE)
        await clock.sleep(1.5)
        began = clock.monotonic()
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert confirmed.delay == 0.0
        (limit,) = (await ledger.status(account, [MINUTE])).limits
        assert (limit.used, limit.waiting) == (1, 0)
        assert limit.frees_in is not None
        assert limit.frees_in >= 60.0 - (clock.monotonic() - began)

    async def test_a_start_that_comes_late_keeps_its_place(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """It does not go behind those that were booked for later, where they lose nothing."""
        await book(ledger, account, MINUTE, weight=Weight(requests=19))
        booking = await book(ledger, account, MINUTE)
        await book_ahead(ledger, account, MINUTE)
        await clock.sleep(1.5)
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert confirmed.delay == 0.0

    async def test_a_start_that_comes_late_takes_nothing_from_those_booked_for_later(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Neither their room nor their moment: it is booked anew, behind them."""
        whole = Weight(requests=20)
        await book(ledger, account, MINUTE, weight=Weight(requests=19))
        late = await book(ledger, account, MINUTE)
        began = clock.monotonic()
        later, delay = await book_ahead(ledger, account, MINUTE, weight=whole)
        booked = clock.monotonic()
        await clock.sleep(1.5)
        confirmed = await ledger.confirm(account, late, [MINUTE], ONE)
        assert confirmed.delay >= delay + 60.0 - (clock.monotonic() - began)
        asked = clock.monotonic()
        unmoved = await ledger.confirm(account, later, [MINUTE], whole)
        assert unmoved.delay <= delay - (asked - booked) + 0.1
        assert await taken(ledger, account, MINUTE) == (40,)

    async def test_a_start_that_the_store_has_lost_is_booked_again(
        self, ledger: Ledger, account: str
    ) -> None:
        """What is about to start counts, also after the store was emptied."""
        confirmed = await ledger.confirm(account, new_id(), [MINUTE], ONE)
        assert confirmed.delay == 0.0
        assert await taken(ledger, account, MINUTE) == (1,)

    async def test_a_start_moves_into_room_that_was_freed(
        self, ledger: Ledger, account: str
    ) -> None:
        """``confirm`` before the moment finds an earlier one, where somebody gave his back."""
        first = await book(ledger, account, MINUTE, weight=Weight(requests=20))
        booking, delay = await book_ahead(ledger, account, MINUTE)
        assert delay > LATE
        await ledger.refund(account, first)
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert confirmed.delay == 0.0
        assert await taken(ledger, account, MINUTE) == (1,)

    async def test_room_that_was_freed_is_no_way_past_those_in_front(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """An earlier moment lies behind all that were booked before."""
        freed = await book(ledger, account, MINUTE)
        await book(ledger, account, MINUTE, weight=Weight(requests=19))
        began = clock.monotonic()
        _, front = await book_ahead(ledger, account, MINUTE, weight=Weight(requests=10))
        behind, _ = await book_ahead(ledger, account, MINUTE)
        await ledger.refund(account, freed)
        confirmed = await ledger.confirm(account, behind, [MINUTE], ONE)
        assert confirmed.delay >= front - (clock.monotonic() - began) > 0

    async def test_a_start_that_is_given_back_before_its_moment_holds_up_nobody(
        self, ledger: Ledger, account: str
    ) -> None:
        """Those behind it need neither wait for its moment nor for its room."""
        await book(ledger, account, MINUTE, weight=Weight(requests=10))
        booking, delay = await book_ahead(ledger, account, MINUTE, weight=Weight(requests=20))
        assert delay > LATE
        assert await ledger.refund(account, booking) is True
        await book(ledger, account, MINUTE, weight=Weight(requests=10))
