"""The ledger that a registry's ``state`` names, opened when it is first needed."""

import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

from leyline.clock import Clock
from leyline.limits import Limit, Weight
from leyline.quota.account import AccountStatus, Booked, Refused
from leyline.quota.ledger import Ledger
from leyline.quota.memory import MemoryLedger

MEMORY: Final = ":memory:"
_URLS: Final = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


class Store:
    """A ledger that is opened at its first use, and again at the first use after ``aclose``."""

    def __init__(
        self, open_ledger: Callable[[], Ledger], slots_folder: Path, *, owned: bool = True
    ) -> None:
        """slots_folder: Where the slots for runs at the same time are; made when it is needed.

        owned: Whether the ledger is closed by ``aclose``; else by those who opened it.
        """
        self.slots_folder = slots_folder
        self._open = open_ledger
        self._owned = owned
        self._ledger: Ledger | None = None

    @classmethod
    def at(cls, state: str | os.PathLike[str] | Ledger | None, clock: Clock) -> "Store":
        """The store at *state*: a path, ``":memory:"``, or the URL of a Redis or Valkey server.

        None: a file in the user's state folder. What is in memory ends with the store, and so does
        its folder of slots. Opens nothing. A ledger: that one, which is
        never closed here: whoever opened it closes it. Raises TypeError for anything else.
        """
        if state is not None and not isinstance(state, str | os.PathLike):
            ledger = _checked(state)
            return cls(lambda: ledger, _user_folder() / "slots", owned=False)
        if state is None:
            return cls._in_file(_user_folder() / "quota.sqlite3")
        where = os.fsdecode(state)
        if where == MEMORY:
            memory = MemoryLedger(clock)  # what it holds outlives its being closed
            folder = Path(tempfile.gettempdir(), f"leyline-slots-{secrets.token_hex(8)}")
            store = cls(lambda: memory, folder)
            weakref.finalize(store, _remove, folder, os.getpid())
            return store
        if where.startswith(_URLS):
            return cls(lambda: _open_redis(where), _user_folder() / "slots")
        return cls._in_file(Path(where))

    @classmethod
    def _in_file(cls, path: Path) -> "Store":
        return cls(lambda: _open_file(path), path.with_name(f"{path.name}.slots"))

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
        return await self._opened().book(
            account, booking, limits, weight, max_delay=max_delay, dry_run=dry_run
        )

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
        if ledger is not None and self._owned:
            await ledger.aclose()

    def _opened(self) -> Ledger:
        if self._ledger is None:
            self._ledger = self._open()
        return self._ledger


def _remove(folder: Path, owner: int) -> None:
    """Remove *folder*, but not in a fork of the process that owns it and still uses it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(state: object) -> Ledger:
    """*state*, if it is a ledger: anything with the methods of one."""
    methods = [name for name in vars(Ledger) if not name.startswith("_")]
    missing = [name for name in methods if not callable(getattr(state, name, None))]
    if not missing and not isinstance(state, type):
        return cast("Ledger", state)
    if isinstance(state, type):
        what = f"the class {state.__name__}"
    elif len(missing) < len(methods):
        what = f"a {type(state).__name__}, which has no {', '.join(missing)}"
    else:
        what = f"a {type(state).__name__}"
    raise TypeError(
        'state must be a path, ":memory:", a URL such as redis://localhost, None for the default, '
        f"or a ledger (an object with {', '.join(methods)}); got {what}"
    )


def _user_folder() -> Path:
    import platformdirs

    return platformdirs.user_state_path("leyline", appauthor=False)


def _open_file(path: Path) -> Ledger:
    from leyline.quota.sqlite import SqliteLedger  # sqlite3 is loaded only where it is used

    return SqliteLedger(path)


def _open_redis(url: str) -> Ledger:
    from leyline.quota.redis import RedisLedger

    return RedisLedger(url)
