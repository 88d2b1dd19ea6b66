"""Records in a SQLite file, for all processes of this machine."""

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from leyline.database import DatabaseFile
from leyline.usage.record import UsageRecord
from leyline.usage.sessions import Session, session_at
from leyline.usage.table import INSERT, SCHEMA, row_of

_PATIENCE: Final = 1.0
"""Seconds; whoever writes through a log tries again."""


class SqliteSink:
    """A sink into the file *path*; made when it is first written to.

    Each batch is one transaction: it is there as a whole or not at all. After a fork, parent and
    child may both go on using it.
    """

    def __init__(self, path: str | os.PathLike[str], *, keep: float | None = None) -> None:
        """keep: Seconds after which records are deleted, at the first write. None: never."""
        self._file = DatabaseFile(Path(path).absolute(), SCHEMA, patience=_PATIENCE)
        self._keep = keep

    def write(self, records: Sequence[UsageRecord], /) -> int:
        """See ``Sink``."""
        with self._file.transaction() as db:
            db.executemany(INSERT, _rows(db, records))
            if self._keep is not None:
                _delete(db, time.time() - self._keep)
        self._keep = None
        return len(records)

    def prune(self, before: float) -> int:
        """Delete the records from before Unix time *before*; returns how many."""
        with self._file.transaction() as db:
            return _delete(db, before)

    def sync(self) -> None:
        """See ``Sink``."""
        self._file.sync()

    def close(self) -> None:
        """See ``Sink``."""
        self._file.close()


def _rows(db: sqlite3.Connection, records: Sequence[UsageRecord]) -> list[tuple[Any, ...]]:
    """Rows to insert; the latest session is that of the last record of any process."""
    if all(record.session for record in records):
        return [row_of(record, record.session) for record in records]
    found = db.execute("SELECT id, last FROM session").fetchone()
    session = None if found is None else Session(*found)
    rows: list[tuple[Any, ...]] = []
    for record in records:
        if not record.session:
            session = session_at(record.at, session)
        rows.append(row_of(record, record.session or ("" if session is None else session.id)))
    if session is not None:
        there = "UPDATE session SET id = ?, last = ?"
        put = "INSERT INTO session VALUES (?, ?)" if found is None else there
        db.execute(put, (session.id, session.last))
    return rows


def _delete(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM records WHERE at < ?", (before,)).rowcount
