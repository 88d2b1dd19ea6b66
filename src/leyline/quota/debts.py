"""Bookings of callers who were cancelled: what has to be given back to a store."""

import contextlib
import logging
from typing import Final

import anyio

from leyline.errors import LedgerError
from leyline.quota.ledger import Ledger

logger = logging.getLogger(__name__)

_SECONDS: Final = 5.0
"""How long a caller who was cancelled is held up by a store that does not answer."""


class Debts:
    """What one account is owed; true if it is owed anything."""

    def __init__(self, account: str, ledger: Ledger) -> None:
        self._account = account
        self._ledger = ledger
        self._owed: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._owed)

    async def give_back(self, booking: str) -> None:
        """Refund *booking*, also while being cancelled; what fails is tried by ``repay``."""
        self._owed.add(booking)
        try:
            await self.repay()
        except anyio.get_cancelled_exc_class():
            await self.repay()  # a native cancellation pierced the shield; once more
            raise

    async def repay(self) -> None:
        """Refund all that is owed, as far as the store takes it within 5 s; shielded."""
        with (
            anyio.move_on_after(_SECONDS, shield=True),
            contextlib.suppress(LedgerError),
        ):
            for booking in list(self._owed):
                await self._ledger.refund(self._account, booking)
                self._owed.discard(booking)
        if self._owed:
            logger.warning("%s: %d bookings not given back yet", self._account, len(self._owed))
