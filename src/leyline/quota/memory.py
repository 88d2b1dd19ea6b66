"""Quotas of one process, forgotten when it ends."""

from collections import defaultdict
from collections.abc import Sequence

from leyline.clock import Clock
from leyline.limits import Limit, Weight
from leyline.quota.account import Account, AccountStatus, Booked, Refused


class MemoryLedger:
    """A ledger in memory, for one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: defaultdict[str, Account] = defaultdict(Account)

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
        """See ``Ledger``."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        return self._accounts[account].book(
            booking, limits, weight, now=now, wall=wall, max_delay=max_delay, dry_run=dry_run
        )

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        """See ``Ledger``."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        return self._accounts[account].confirm(booking, limits, weight, now=now, wall=wall)

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        """See ``Ledger``."""
        return self._accounts[account].settle(booking, limits, weight)

    async def refund(self, account: str, booking: str) -> bool:
        """See ``Ledger``."""
        return self._accounts[account].refund(booking)

    async def throttle(self, account: str, until: float, reason: str) -> None:
        """See ``Ledger``."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        self._accounts[account].close(until, reason, now=now, wall=wall)

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        """See ``Ledger``."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        return self._accounts[account].status(limits, now=now, wall=wall)

    async def aclose(self) -> None:
        """See ``Ledger``."""
