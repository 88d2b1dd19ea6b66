"""Closures: what the service itself says; and the end of a ledger."""

from leyline.clock import Clock
from leyline.limits import Weight
from leyline.quota import Ledger, Refused
from leyline.testing.ledgers.fixtures import LedgerFixtures, OpenLedger
from leyline.testing.ledgers.samples import LATE, MINUTE, ONE, book, delay_of_next, new_id, taken


class ClosingDemands(LedgerFixtures):
    """``throttle`` and ``aclose``."""

    async def test_a_closed_service_starts_nothing_before_it_opens(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """What cannot wait is refused by ``closed``, in the service's own words."""
        until = clock.wall() + 20.0
        await ledger.throttle(account, until, "retry in 20 s")
        refused = await ledger.book(account, new_id(), [MINUTE], ONE, max_delay=1.0)
        assert isinstance(refused, Refused)
        assert (refused.limit, refused.reason) == ("closed", "retry in 20 s")
        assert until - clock.wall() - 0.5 <= refused.delay <= 21.0
        delay = await delay_of_next(ledger, account, MINUTE)
        assert until - clock.wall() - 0.5 <= delay <= 21.0

    async def test_after_a_closure_starts_keep_their_distance(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Those who waited come one by one, at the pace of the limits: no storm."""
        await ledger.throttle(account, clock.wall() + 1.0, "busy")
        first = await delay_of_next(ledger, account, MINUTE)
        began = clock.monotonic()
        second = await delay_of_next(ledger, account, MINUTE)
        assert second >= first + 60.0 / 20 - (clock.monotonic() - began) - 0.5

    async def test_a_closure_is_extended_but_never_shortened(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """The latest moment holds, with the words that came with it."""
        now = clock.wall()
        for until, reason in ((now + 200, "first"), (now + 100, "earlier"), (now + 300, "later")):
            await ledger.throttle(account, until, reason)
            status = await ledger.status(account, [MINUTE])
            expected = (300, "later") if reason == "later" else (200, "first")
            assert status.reason == expected[1]
            assert expected[0] - LATE <= status.closed_for <= expected[0] + 0.5

    async def test_a_booked_start_is_put_off_when_the_service_closes(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """``confirm`` says so; the booking stays one."""
        booking = await book(ledger, account, MINUTE)
        until = clock.wall() + 20.0
        await ledger.throttle(account, until, "busy")
        confirmed = await ledger.confirm(account, booking, [MINUTE], ONE)
        assert until - clock.wall() - 0.5 <= confirmed.delay <= 21.0
        assert await taken(ledger, account, MINUTE) == (1,)

    async def test_a_closure_that_has_passed_closes_nothing(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Services tell moments of the past too."""
        await ledger.throttle(account, clock.wall() - 10.0, "resets 7pm")
        await book(ledger, account, MINUTE)

    async def test_a_closure_forgets_nothing_that_was_used(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Limits go on counting while it is closed and afterwards."""
        began = clock.monotonic()
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
        await ledger.throttle(account, clock.wall() + 1.0, "busy")
        assert await taken(ledger, account, MINUTE) == (20,)
        assert await delay_of_next(ledger, account, MINUTE) >= 60.0 - (clock.monotonic() - began)

    # The end

    async def test_closing_twice_is_fine(
        self, open_ledger: OpenLedger, account: str, clock: Clock
    ) -> None:
        """``aclose`` lets go of the store, and nothing is left to let go of."""
        ledger = open_ledger(clock)
        await book(ledger, account, MINUTE)
        await ledger.aclose()
        await ledger.aclose()

    async def test_what_was_never_used_can_be_closed(
        self, open_ledger: OpenLedger, clock: Clock
    ) -> None:
        """Also where nothing was opened yet."""
        await open_ledger(clock).aclose()
