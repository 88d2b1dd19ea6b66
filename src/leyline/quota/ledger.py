"""What every store of quotas can do. The tests in ``leyline.testing.ledgers`` say what it means."""

from collections.abc import Sequence
from typing import Protocol

from leyline.limits import Limit, Weight
from leyline.quota.account import AccountStatus, Booked, Refused


class Ledger(Protocol):
    """Quotas by account, for all who share the store. Each method is one transaction.

    account: Which quota: a service, or a pool of several. booking: An id, unique in the world.
    Every method raises LedgerError if the store cannot be used, and then nothing was written.
    Cancellation: a transaction under way is completed or not begun, never half done.
    """

    async def book(
        self,
        account: str,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        max_delay: float,
        dry_run: bool = False,
    ) -> Booked | Refused:
        """Reserve the earliest start under all *limits*, at most *max_delay* seconds from now.

        dry_run: It starts now and counts from now on in any case; the delay says when it might.
        """
        ...

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        """What has become of a booked start: 0 to start now, else seconds to wait from now on.

        Before its moment it is asked at least every ``LEASE`` / 3 seconds: it keeps its place, and
        moves to an earlier moment that has become free. One that nobody asks for as long as
        ``LEASE`` may be given up. Too late to count as what was booked, it starts now if that takes
        nothing from those booked for later, and else is booked anew behind them. A booking that
        the store has lost is made again.
        """
        ...

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        """Put what was really used in place of what was reserved; False if it was done before."""
        ...

    async def refund(self, account: str, booking: str) -> bool:
        """Give back what was reserved, as nothing was started; False if there is nothing."""
        ...

    async def throttle(self, account: str, until: float, reason: str) -> None:
        """Close the service until Unix time *until*, for everybody; never shorter than before."""
        ...

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        """How much is used. Writes nothing."""
        ...

    async def aclose(self) -> None:
        """Let go of the store. Bookings stay."""
        ...
