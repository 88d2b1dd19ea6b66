"""A SQLite file of ours, shared by processes: opened with care, one transaction at a time.

Not for a file on a network, where locks do not hold.
"""

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from urllib.parse import quote

from attrs import define, field, frozen

from leyline.errors import LeylineError
from leyline.forks import keep_out_of_forks

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds to wait for the locks of others, who hold them for milliseconds."""

MOVE_AWAY: Final = "it was left as it is; name another file, or move this one away to begin anew"
"""What to do about a file that is of no use."""

_ADVICE: Final = {
    sqlite3.SQLITE_ERROR: f"it is not as it should be; {MOVE_AWAY}",
    sqlite3.SQLITE_CONSTRAINT: f"it is not as it should be; {MOVE_AWAY}",
    sqlite3.SQLITE_CORRUPT: f"it is damaged; {MOVE_AWAY}",
    sqlite3.SQLITE_TOOBIG: f"it is damaged; {MOVE_AWAY}",
    sqlite3.SQLITE_NOTADB: f"it is not a SQLite database; {MOVE_AWAY}",
    sqlite3.SQLITE_FULL: "the disk is full; make room on it",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; see that it has room and works",
}
_Errors: TypeAlias = tuple[type[Exception], ...]
_OF_PROGRAMS: Final[_Errors] = (sqlite3.ProgrammingError, sqlite3.InterfaceError)
_OF_BLOCKS: Final[_Errors] = (sqlite3.IntegrityError, sqlite3.DataError, OSError)

_SHORTEST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.005
_BRIEF: Final = 0.1
"""Seconds: the pauses between two looks at a lock, and for how long they are the shortest."""


@frozen
class Schema:
    """What a file of ours is.

    application: Marks it as ours, where programs that guess types of files look for it.
    migrations: The statements that lead from each version to the next.
    fail: Makes the error to raise, of the file and of what is wrong with it and what to do.
    """

    application: int
    migrations: tuple[tuple[str, ...], ...]
    fail: Callable[[str, str], LeylineError]

    def version(self, db: sqlite3.Connection, path: Path) -> int:
        """Of the file; 0 if it is empty. An error if it is not for this program."""
        ours, version, tables = db.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if ours == self.application and version <= len(self.migrations):
            return int(version)
        if ours == self.application:
            why = "a newer leyline wrote it; update this one, or name another file"
            raise self.fail(str(path), why)
        if tables or version:
            raise self.fail(str(path), f"it is the database of another program; {MOVE_AWAY}")
        return 0

    def migrate(self, db: sqlite3.Connection, path: Path) -> None:
        """Bring an open file to the present version."""
        if self.version(db, path) == len(self.migrations):
            return
        db.execute("BEGIN IMMEDIATE")
        for statements in self.migrations[self.version(db, path) :]:  # another may be quicker
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {self.application}")
        db.execute(f"PRAGMA user_version = {len(self.migrations)}")
        db.execute("COMMIT")

    @contextlib.contextmanager
    def translating(
        self, path: Path, *, purpose: str = "", patience: float = PATIENCE, spared: _Errors = ()
    ) -> Generator[None]:
        """Make errors of the file those of ``fail``; those of the program stay what they are.

        purpose: What it was opened for, where not only to be read. patience: Seconds waited.
        spared: Other errors that are not the file's.
        """
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, _OF_PROGRAMS + spared):
                raise
            raise self.fail(str(path), _reason(error, purpose, patience)) from error


@define(eq=False)
class DatabaseFile:
    """The file at *path*; opened when it is used, and again after an error or a fork.

    Where it was removed or replaced meanwhile, the next transaction has the one that is there, or
    a new one: what was in the other is gone.

    patience: Seconds to wait for the locks of others.
    irreplaceable: Another file in its place is an error, and so is none; nothing begins anew.
    """

    path: Path
    schema: Schema
    patience: float = PATIENCE
    irreplaceable: bool = field(default=False, kw_only=True)
    _gate: threading.RLock = field(factory=threading.RLock)
    _db: sqlite3.Connection | None = None
    _identity: tuple[int, int] | None = None  # of the file that was opened last

    def __attrs_post_init__(self) -> None:
        # What SQLite knows of its locks does not survive a fork: a child would believe that it
        # holds them, or never get them.
        keep_out_of_forks(self)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """The only writer of the file, until the block ends well; else nothing was written.

        Errors of a value (too long, against a rule of the table), and those that the block has with
        other files, stay what they are.
        """
        return self._transaction(lambda db: db.execute("BEGIN IMMEDIATE"))

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """The file as it is at one moment, only to be read. Waits for no writer."""
        return self._transaction(_begin_reading)

    def sync(self) -> None:
        """Have what was committed survive a power cut too."""
        with self._translating(), contextlib.suppress(FileNotFoundError):
            log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)  # it has no locks
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def close(self) -> None:
        """Let go of the file; what was not committed is rolled back."""
        with self._gate:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def __del__(self) -> None:
        """Dropped while it is open: else its descriptors stay until the next garbage collection."""
        self.close()

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
    def _transaction(
        self, begin: Callable[[sqlite3.Connection], object]
    ) -> Generator[sqlite3.Connection]:
        with self._gate:
            try:
                with self._translating():
                    db = self._db = self._opened() or self._open()
                    _patiently(self.patience, begin, db)
                with self._translating(_OF_BLOCKS):
                    yield db
                with self._translating():
                    db.execute("COMMIT")
            except BaseException:
                self.close()
                raise

    def _translating(self, spared: _Errors = ()) -> AbstractContextManager[None]:
        return self.schema.translating(
            self.path, purpose=" for writing", patience=self.patience, spared=spared
        )

    def _opened(self) -> sqlite3.Connection | None:
        """The file, if it is open and still there."""
        if self._db is not None and _identity(self.path) != self._identity:
            self.close()
        return self._db

    def _open(self) -> sqlite3.Connection:
        lost = self._identity is not None and _identity(self.path) != self._identity
        if lost and self.irreplaceable:
            why = "it was removed or replaced while it was in use; put it back, or begin anew"
            raise self.schema.fail(str(self.path), why)
        _refuse_folder(self.path, self.schema)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        found = self.path.stat()
        if 0 < found.st_size < 512:  # SQLite itself would write over it
            raise self.schema.fail(str(self.path), _ADVICE[sqlite3.SQLITE_NOTADB])
        self._identity = found.st_dev, found.st_ino
        # Before a fork, the thread that forks closes it.
        db = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            _patiently(self.patience, self.schema.version, db, self.path)  # nothing written yet
            # Readers then wait for no writer. Kept in the file; nothing happens where it is set.
            _patiently(self.patience, db.execute, "PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # a power cut may undo, but never damage
            _patiently(self.patience, self.schema.migrate, db, self.path)
        except BaseException:
            db.close()
            raise
        return db


def open_for_reading(path: Path, schema: Schema) -> sqlite3.Connection:
    """The file at *path*, which is neither made nor changed, also where it cannot be written."""
    with schema.translating(path):
        _refuse_folder(path, schema)
        error: sqlite3.OperationalError | None = None
        for how in ("mode=ro", "mode=ro&immutable=1"):  # the latter where no lock can be taken
            name = f"file:{quote(str(path.absolute()))}?{how}"
            db = sqlite3.connect(name, uri=True, timeout=PATIENCE, isolation_level=None)
            try:
                schema.version(db, path)
            except sqlite3.OperationalError as raised:
                db.close()
                error = raised
            except BaseException:
                db.close()
                raise
            else:
                return db
        raise error or sqlite3.OperationalError("unable to open database file")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at *path* from any other; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _refuse_folder(path: Path, schema: Schema) -> None:
    if path.is_dir():
        raise schema.fail(str(path), "it is a folder; name a file")


def _begin_reading(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    try:
        db.execute("SELECT 1 FROM sqlite_master")  # from now on it sees the file as it is now
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _patiently(patience: float, step: Callable[..., T], *arguments: object) -> T:
    """Do *step* as soon as others let go of the file.

    SQLite's own way of waiting is unfair: whoever waits longest looks most seldom, and a process
    among eight that are busy can wait for a second.
    """
    begun = time.monotonic()
    while True:
        try:
            return step(*arguments)
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - begun
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited > patience:
                raise
        pause = _SHORTEST_PAUSE if waited < _BRIEF else _LONGEST_PAUSE
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (nothing secret)


def _reason(error: sqlite3.Error | OSError, purpose: str, patience: float) -> str:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        advice = f"other processes hold it, and did not let go for {patience:g} s;"
        advice += " see which have it open"
    else:
        unreachable = f"it cannot be opened{purpose}; see to its rights and its folder's"
        advice = _ADVICE.get(code, unreachable)
    return f"{advice} ({error})"
