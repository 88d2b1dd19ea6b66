"""A SQLite file of ours, shared by processes: opened with care, one transaction at a time.

Not for a file on a network, where locks do not hold.
"""

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote
from weakref import WeakSet

from attrs import define, field, frozen

from leyline.errors import LeylineError

T = TypeVar("T")

_MOVE_AWAY: Final = "it was left as it is; name another file, or move this one away to begin anew"
_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "other processes hold it; see which have it open",
    sqlite3.SQLITE_ERROR: f"it is not as it should be; {_MOVE_AWAY}",
    sqlite3.SQLITE_CORRUPT: f"it is damaged; {_MOVE_AWAY}",
    sqlite3.SQLITE_NOTADB: f"it is not a SQLite database; {_MOVE_AWAY}",
    sqlite3.SQLITE_FULL: "the disk is full; make room on it",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; see that it has room and works",
}
_UNREACHABLE: Final = "it cannot be opened; see to its rights and its folder's"
_OF_VALUES: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)
_SHORTEST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.01


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
            raise self.fail(str(path), f"it is the database of another program; {_MOVE_AWAY}")
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
    def translating(self, path: Path) -> Generator[None]:
        """Make errors of the file those of ``fail``; those of a value stay what they are."""
        try:
            yield
        except _OF_VALUES:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self.fail(str(path), _reason(error)) from error


@define(eq=False)
class DatabaseFile:
    """The file at *path*; opened when it is used, and again after an error or a fork.

    patience: Seconds to wait for the locks of others, who hold them for milliseconds.
    """

    path: Path
    schema: Schema
    patience: float = 30.0
    _gate: threading.RLock = field(factory=threading.RLock)
    _db: sqlite3.Connection | None = None

    def __attrs_post_init__(self) -> None:
        _files.add(self)

    @contextlib.contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """The only writer of the file, until the block ends well; else nothing was written."""
        with self._gate:
            try:
                with self.schema.translating(self.path):
                    if self._db is None:
                        self._db = self._open()
                    _patiently(self.patience, self._db.execute, "BEGIN IMMEDIATE")
                    yield self._db
                    self._db.execute("COMMIT")
            except BaseException:
                self.close()
                raise

    def sync(self) -> None:
        """Have what was committed survive a power cut too."""
        with self.schema.translating(self.path), contextlib.suppress(FileNotFoundError):
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

    def _open(self) -> sqlite3.Connection:
        _refuse_folder(self.path, self.schema)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if 0 < self.path.stat().st_size < 512:  # SQLite itself would write over it
            raise self.schema.fail(str(self.path), _ADVICE[sqlite3.SQLITE_NOTADB])
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
            db = sqlite3.connect(name, uri=True, timeout=30.0, isolation_level=None)
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


def _refuse_folder(path: Path, schema: Schema) -> None:
    if path.is_dir():
        raise schema.fail(str(path), "it is a folder; name a file")


def _patiently(patience: float, step: Callable[..., T], *arguments: object) -> T:
    """Do *step* as soon as others let go of the file.

    SQLite's own way of waiting is unfair: whoever waits longest looks most seldom.
    """
    begun = time.monotonic()
    while True:
        try:
            return step(*arguments)
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - begun
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited > patience:
                raise
        pause = _SHORTEST_PAUSE if waited < 0.1 else _LONGEST_PAUSE
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311


def _reason(error: sqlite3.Error | OSError) -> str:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    advice = _UNREACHABLE if code is None else _ADVICE.get(code & 0xFF, _UNREACHABLE)
    return f"{advice} ({error})"


# What SQLite knows of its locks does not survive a fork: a child would believe that it holds
# them, or never get them. So no file is open while a process forks.

_files: Final = WeakSet[DatabaseFile]()
_frozen: Final[list[DatabaseFile]] = []


def _before_fork() -> None:
    files: Sequence[DatabaseFile] = sorted(_files, key=id)  # in one order: others may fork too
    for file in files:
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
