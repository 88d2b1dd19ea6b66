"""The SQLite file that accounts of quotas are kept in: one transaction at a time, on any thread.

The clock is read inside the transaction, so that moments are in the order of the transactions.
Not for a file on a network, where locks do not hold.
"""

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakSet

from attrs import define, field

from leyline.clock import Clock
from leyline.errors import LedgerError
from leyline.quota.account import Account

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds to wait for the locks of others, who hold them for a millisecond."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE accounts (name TEXT PRIMARY KEY, state TEXT NOT NULL)",
        "CREATE TABLE clock (boot TEXT NOT NULL, now REAL NOT NULL, wall REAL NOT NULL)",
        "INSERT INTO clock VALUES ('', 0, 0)",
    ),
)
"""What leads from each version of the file to the next. One more for each new ``VERSION``."""

_SHORTEST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.005
_BRIEF: Final = 0.1
"""Seconds: the pauses between two looks at a lock, and for how long they are the shortest."""

_APPLICATION: Final = 0x4C45594C
"""Marks the file as ours, where programs that guess types of files look for it."""

_MOVE_AWAY: Final = "it was left as it is; name another file, or move this one away to begin anew"

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: f"other processes held it for {PATIENCE:.0f} s; see which have it open",
    sqlite3.SQLITE_ERROR: f"it is not as it should be; {_MOVE_AWAY}",
    sqlite3.SQLITE_CORRUPT: f"it is damaged; {_MOVE_AWAY}",
    sqlite3.SQLITE_NOTADB: f"it is not a SQLite database; {_MOVE_AWAY}",
    sqlite3.SQLITE_FULL: "the disk is full; make room on it",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; see that it has room and works",
}
_UNREACHABLE: Final = "it cannot be opened for writing; see to its rights and its folder's"


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
    """

    path: Path
    clock: Clock
    boot: str
    _gate: threading.RLock = field(factory=threading.RLock)
    _db: sqlite3.Connection | None = None

    def __attrs_post_init__(self) -> None:
        _files.add(self)

    def write(self, name: str, change: Callable[[Account, float, float], T]) -> T:
        """Apply *change* to the account *name*, given now and the wall time; in one transaction."""
        with self._transaction("IMMEDIATE") as db:
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
        with self._transaction("DEFERRED") as db:
            now, wall, shift = self._moment(db)
            account = self._load(name, _state(db, name))
            if shift:
                account.shift(shift)
            return look(account, now, wall)

    def close(self) -> None:
        """Let go of the file; what was not committed is rolled back."""
        with self._gate:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def freeze(self) -> None:
        """Before a fork: close it, and keep it closed until ``thaw``."""
        self._gate.acquire()
        self.close()

    def thaw(self, *, child: bool) -> None:
        """After the fork, in either process."""
        if child:
            self._gate = threading.RLock()  # others may have waited for the old one
        else:
            self._gate.release()

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Generator[sqlite3.Connection]:
        with self._gate:
            try:
                if self._db is None:
                    self._db = self._open()
                _begin(self._db, kind)
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                self.close()
                if isinstance(error, sqlite3.Error | OSError):
                    raise self._error(_reason(error)) from error
                raise

    def _moment(self, db: sqlite3.Connection) -> tuple[float, float, float]:
        """Now, the wall time, and by how much the file's moments differ from this boot's."""
        boot, last, last_wall = db.execute("SELECT boot, now, wall FROM clock").fetchone()
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
            raise self._error(f'the state of "{name}" is damaged; {_MOVE_AWAY}') from error

    def _open(self) -> sqlite3.Connection:
        if self.path.is_dir():
            raise self._error("it is a folder; name a file")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if 0 < self.path.stat().st_size < 512:  # SQLite itself would write over it
            raise self._error(_ADVICE[sqlite3.SQLITE_NOTADB])
        # Before a fork, the thread that forks closes it.
        db = sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._version(db)  # before anything is written
            # Readers then wait for no writer. Kept in the file; nothing happens where it is set.
            _patiently(lambda: db.execute("PRAGMA journal_mode = WAL"))
            db.execute("PRAGMA synchronous = NORMAL")  # a power cut may undo, but never damage
            self._migrate(db)
            db.execute("PRAGMA busy_timeout = 0")  # from now on we wait ourselves
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        if self._version(db) == len(MIGRATIONS):
            return
        _begin(db, "IMMEDIATE")
        for statements in MIGRATIONS[self._version(db) :]:  # another may have been quicker
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")

    def _version(self, db: sqlite3.Connection) -> int:
        """Of the file; 0 if it is empty. An error if it is not for this program."""
        ours, version, tables = db.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if ours == _APPLICATION and version <= len(MIGRATIONS):
            return int(version)
        if ours == _APPLICATION:
            raise self._error("a newer leyline wrote it; update this one, or name another file")
        if tables or version:
            raise self._error(f"it is the database of another program; {_MOVE_AWAY}")
        return 0

    def _error(self, reason: str) -> LedgerError:
        return LedgerError(str(self.path), reason)


def _state(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute("SELECT state FROM accounts WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def _save(db: sqlite3.Connection, name: str, state: str) -> None:
    db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?)", (name, state))


def _begin(db: sqlite3.Connection, kind: str) -> None:
    """Begin a transaction that sees the file as it is now."""

    def begin() -> None:
        db.execute(f"BEGIN {kind}")
        try:
            db.execute("SELECT 1 FROM sqlite_master")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    _patiently(begin)


def _patiently(step: Callable[[], T]) -> T:
    """Do *step* as soon as others let go of the file.

    SQLite's own way of waiting is unfair: whoever waits longest looks most seldom, and a process
    among eight that are busy can wait for a second.
    """
    deadline, pause = time.monotonic() + PATIENCE, _SHORTEST_PAUSE
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        if time.monotonic() > deadline - PATIENCE + _BRIEF:
            pause = _LONGEST_PAUSE  # not a matter of a millisecond


def _reason(error: sqlite3.Error | OSError) -> str:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    advice = _UNREACHABLE if code is None else _ADVICE.get(code & 0xFF, _UNREACHABLE)
    return f"{advice} ({error})"


# What SQLite knows of its locks does not survive a fork: a child would believe that it holds
# them, or never get them. So no file is open while a process forks.

_files: Final = WeakSet[AccountsFile]()
_frozen: Final[list[AccountsFile]] = []


def _before_fork() -> None:
    for file in sorted(_files, key=id):  # in one order, as another thread may fork too
        file.freeze()
        _frozen.append(file)


def _after_fork(*, child: bool) -> None:
    while _frozen:
        _frozen.pop().thaw(child=child)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _after_fork(child=False),
    after_in_child=lambda: _after_fork(child=True),
)
