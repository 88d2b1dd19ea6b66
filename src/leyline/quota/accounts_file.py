"""The SQLite file that accounts of quotas are kept in: one transaction at a time, on any thread.

The clock is read inside the transaction, so that moments are in the order of the transactions.
Not for a file on a network, where locks do not hold.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field

from leyline.clock import Clock
from leyline.database import MOVE_AWAY, DatabaseFile, Schema
from leyline.errors import LedgerError
from leyline.quota.account import Account

T = TypeVar("T")

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE accounts (name TEXT PRIMARY KEY, state TEXT NOT NULL)",
        "CREATE TABLE clock (boot TEXT NOT NULL, now REAL NOT NULL, wall REAL NOT NULL)",
        "INSERT INTO clock VALUES ('', 0, 0)",
    ),
    (),  # a booking says when it was last asked for
)
"""What leads from each version of the file to the next."""

SCHEMA: Final = Schema(application=0x4C45594C, migrations=MIGRATIONS, fail=LedgerError)


def uptime() -> float:
    """Seconds since the machine started, asleep ones too; the same in all its processes."""
    number: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if number is None else time.clock_gettime(number)


def boot_id() -> str:
    """What the machine's present boot is called; empty where it has no name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


UPTIME_CLOCK: Final = Clock(monotonic=uptime)


@define(eq=False)
class AccountsFile:
    """The file at *path*; opened when it is used, and again after an error or a fork.

    clock: Its monotonic time is the machine's. boot: Id of the machine's boot.
    Raises LedgerError where the file cannot be used, and then nothing was written.
    """

    path: Path
    clock: Clock
    boot: str
    _file: DatabaseFile = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = DatabaseFile(self.path, SCHEMA)

    # No value is of others, so an error of one is the file's as well: it is translated here.

    def write(self, name: str, change: Callable[[Account, float, float], T]) -> T:
        """Apply *change* to the account *name*, given now and the wall time; in one transaction."""
        with SCHEMA.translating(self.path), self._file.transaction() as db:
            now, wall, shift = self._moment(db)
            if shift:
                self._shift_all(db, shift)
            before = _state(db, name)
            account = self._load(name, before)
            outcome = change(account, now, wall)
            after = account.dump()
            if shift or after != before:
                _save(db, name, after)
                db.execute("UPDATE clock SET boot = ?, now = ?, wall = ?", (self.boot, now, wall))
            return outcome

    def read(self, name: str, look: Callable[[Account, float, float], T]) -> T:
        """What *look* sees of the account *name*. Waits for no writer."""
        with SCHEMA.translating(self.path), self._file.snapshot() as db:
            now, wall, shift = self._moment(db)
            account = self._load(name, _state(db, name))
            if shift:
                account.shift(shift)
            return look(account, now, wall)

    def close(self) -> None:
        """Let go of the file; what was not committed is rolled back."""
        self._file.close()

    def _moment(self, db: sqlite3.Connection) -> tuple[float, float, float]:
        """Now, the wall time, and by how much the file's moments differ from this boot's."""
        row = db.execute("SELECT boot, now, wall FROM clock").fetchone()
        if row is None:
            raise self._damaged("the time of its last change")
        boot, last, last_wall = row
        now, wall = self.clock.monotonic(), self.clock.wall()
        if boot != self.boot or (not boot and now < last):
            return now, wall, now - max(0.0, wall - last_wall) - last
        return max(now, last), wall, 0.0

    def _shift_all(self, db: sqlite3.Connection, by: float) -> None:
        for name, state in db.execute("SELECT name, state FROM accounts").fetchall():
            account = self._load(name, state)
            account.shift(by)
            _save(db, name, account.dump())

    def _load(self, name: str, state: str | None) -> Account:
        try:
            return Account() if state is None else Account.load(state)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._damaged(f'the state of "{name}"') from error

    def _damaged(self, what: str) -> LedgerError:
        return LedgerError(str(self.path), f"{what} is damaged; {MOVE_AWAY}")


def _state(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute("SELECT state FROM accounts WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def _save(db: sqlite3.Connection, name: str, state: str) -> None:
    db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?)", (name, state))
