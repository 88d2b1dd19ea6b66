"""Many at once, and some of them cancelled."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from leyline.clock import Clock
from leyline.limits import Limit, Weight
from leyline.quota import Booked, Ledger
from leyline.testing.ledgers.fixtures import LedgerFixtures
from leyline.testing.ledgers.samples import (
    LATE,
    MINUTE,
    ONE,
    PER,
    REQUESTS,
    TOKENS,
    book,
    fullest,
    new_id,
    taken,
)


class CrowdingDemands(LedgerFixtures):
    """Every method is one transaction."""

    async def test_fifty_tasks_never_fill_a_window_over_its_limit(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Measured at their starts, each of which was booked, waited for and confirmed."""
        starts: list[tuple[float, float]] = []

        async def call() -> None:
            booking, asked = new_id(), clock.monotonic()
            booked = await ledger.book(account, booking, [REQUESTS], ONE, max_delay=LATE)
            assert isinstance(booked, Booked)
            while booked.delay > 0:
                await clock.sleep(booked.delay)
                asked = clock.monotonic()
                booked = await ledger.confirm(account, booking, [REQUESTS], ONE)
            starts.append((asked, clock.monotonic()))
            assert await ledger.settle(account, booking, [REQUESTS], ONE) is True

        began = clock.monotonic()
        with anyio.fail_after(LATE):
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(call)
        assert len(starts) == 50
        assert fullest(starts, PER) <= 20
        assert clock.monotonic() - began >= 2 * PER

    async def test_fifty_tasks_that_settle_and_refund_leave_an_exact_balance(
        self, ledger: Ledger, account: str
    ) -> None:
        """No change of one is lost to another's."""

        async def call(number: int) -> None:
            booking = await book(ledger, account, TOKENS, weight=Weight(input_tokens=1_000))
            await checkpoint()
            if number % 2:
                await ledger.refund(account, booking)
            else:
                await ledger.settle(account, booking, [TOKENS], Weight(output_tokens=number))

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(call, number)
        assert await taken(ledger, account, TOKENS) == (sum(range(0, 50, 2)),)

    @pytest.mark.parametrize("after", [-1.0, 0.0, 0.0002, 0.001])
    async def test_a_cancelled_booking_is_never_half_done(
        self, ledger: Ledger, account: str, day: Limit, after: float
    ) -> None:
        """It stands under all limits or under none."""
        for _ in range(20):
            with anyio.move_on_after(after):
                await ledger.book(account, new_id(), [MINUTE, day], ONE, max_delay=0.0)
        in_minute, in_day = await taken(ledger, account, MINUTE, day)
        assert in_minute == in_day <= 20
