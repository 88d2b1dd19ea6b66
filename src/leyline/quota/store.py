"""The ledger that a registry's ``state`` names, opened when it is first needed."""

import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from leyline.clock import Clock
from leyline.limits import Limit, Weight
from leyline.quota.account import AccountStatus, Booked, Refused
from leyline.quota.ledger import Ledger
from leyline.quota.memory import MemoryLedger

MEMORY: Final = ":memory:"
_URLS: Final = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


class Store:
    """A ledger that is opened at its first use, and again at the first use after ``aclose``."""

    def __init__(self, open_ledger: Callable[[], Ledger], slots_folder: Path) -> None:
        """slots_folder: Where the slots for runs at the same time are; made when it is needed."""
        self.slots_folder = slots_folder
        self._open = open_ledger
        self._ledger: Ledger | None = None

    @classmethod
    def at(cls, state: str | os.PathLike[str] | None, clock: Clock) -> "Store":
        """The store at *state*: a path, ``":memory:"``, or the URL of a Redis or Valkey server.

        None: a file in the user's state folder. Opens nothing.
        """
        if state == MEMORY:
            ledger = MemoryLedger(clock)  # what it holds outlives its being closed
            folder = Path(tempfile.gettempdir(), f"leyline-slots-{secrets.token_hex(8)}")
            return cls(lambda: ledger, folder)
        if state is not None and os.fspath(state).startswith(_URLS):
            url = os.fspath(state)
            return cls(lambda: _open_redis(url), _user_folder() / "slots")
        path = _user_folder() / "quota.sqlite3" if state is None else Path(state)
        return cls(lambda: _open_file(path), path.with_name(f"{path.name}.slots"))

    async def book(
        self,
        account: str,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        max_delay: float,
    ) -> Booked | Refused:
        """See ``Ledger``."""
        return await self._opened().book(account, booking, limits, weight, max_delay=max_delay)

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        """See ``Ledger``."""
        return await self._opened().confirm(account, booking, limits, weight)

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        """See ``Ledger``."""
        return await self._opened().settle(account, booking, limits, weight)

    async def refund(self, account: str, booking: str) -> bool:
        """See ``Ledger``."""
        return await self._opened().refund(account, booking)

    async def throttle(self, account: str, until: float, reason: str) -> None:
        """See ``Ledger``."""
        await self._opened().throttle(account, until, reason)

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        """See ``Ledger``."""
        return await self._opened().status(account, limits)

    async def aclose(self) -> None:
        """Let go of the store until it is needed again."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await ledger.aclose()

    def _opened(self) -> Ledger:
        if self._ledger is None:
            self._ledger = self._open()
        return self._ledger


def _user_folder() -> Path:
    import platformdirs

    return platformdirs.user_state_path("leyline", appauthor=False)


def _open_file(path: Path) -> Ledger:
    from leyline.quota.sqlite import SqliteLedger  # sqlite3 is loaded only where it is used

    return SqliteLedger(path)


def _open_redis(url: str) -> Ledger:
    from leyline.quota.redis import RedisLedger

    return RedisLedger(url)
