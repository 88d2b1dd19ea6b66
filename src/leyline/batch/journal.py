"""The truth about a batch: every row of its input, and every result, in one SQLite file.

A result is in the journal, on the disk, before its line is in the output; so the output can always
be written anew. One process at a time writes it (``OutputFile`` holds the lock).
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from leyline.batch.errors import BatchError
from leyline.batch.source import Record
from leyline.batch.text import one_line_of
from leyline.database import DatabaseFile, Schema

_ROWS: Final = (
    "(position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, line INTEGER NOT NULL,"
    " columns TEXT NOT NULL)"
)
_RESULTS: Final = (
    "(sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, success INTEGER NOT NULL,"
    " service TEXT NOT NULL, tokens INTEGER NOT NULL, cost REAL, line TEXT NOT NULL)"
)
_SCHEMA: Final = Schema(
    application=0x6C796C6A,  # "lylj"
    migrations=(
        (
            "CREATE TABLE batch (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
            f"CREATE TABLE rows {_ROWS}",
            f"CREATE TABLE results {_RESULTS}",
            "CREATE TABLE retries (id TEXT PRIMARY KEY)",
        ),
    ),
    fail=BatchError,
)
CHUNK: Final = 32
"""Lines that are in memory at once, as they may be long."""

Connection: TypeAlias = sqlite3.Connection


@frozen(kw_only=True)
class Result:
    """What came of one row, as it is kept. line: Of the output. cost: US dollars, if known."""

    id: str
    success: bool
    service: str
    tokens: int
    cost: float | None
    line: str


@frozen(kw_only=True)
class Sums:
    """Where a batch stands. rows: All. cost: US dollars as far as known; None: nothing is."""

    rows: int = 0
    done: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float | None = None

    @property
    def left(self) -> int:
        """Rows without a result."""
        return self.rows - self.done


@frozen(kw_only=True)
class Difference:
    """What has become of an input: rows by id. examples: A few of them, for people."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    examples: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)

    @property
    def words(self) -> str:
        """For people: how many rows are what."""
        counts = (("new", self.new), ("changed", self.changed), ("gone", self.gone))
        return "rows: " + ", ".join(f"{count:,} {what}" for what, count in counts if count)


@define(eq=False)
class Journal:
    """The file at *path*. Every method reads or writes the disk; none waits for anything else, and
    what only reads keeps nobody from writing.

    Raises BatchError where the file cannot be used, and then nothing was written; also where it was
    removed or replaced under way.
    """

    path: Path
    _file: DatabaseFile = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = DatabaseFile(self.path, _SCHEMA, irreplaceable=True)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def facts(self) -> Mapping[str, Any]:
        """What the batch was begun with; empty if it has not."""
        with self._file.snapshot() as db:
            return {key: json.loads(value) for key, value in db.execute("SELECT * FROM batch")}

    @contextlib.contextmanager
    def intake(self) -> Generator["Intake"]:
        """Takes in an input as a whole: nothing of it stays if the block raises."""
        with self._file.transaction() as db:
            db.execute(f"CREATE TEMP TABLE incoming {_ROWS}")
            yield Intake(db)
            db.execute("DROP TABLE incoming")
        self._file.sync()

    def note(self, facts: Mapping[str, Any]) -> None:
        """Write down facts about the batch."""
        with self._file.transaction() as db:
            _note(db, facts)
        self._file.sync()

    def keep(self, results: Sequence[Result]) -> None:
        """Write down results; when this returns, they survive a power cut.

        Those that are there already stay: after an error, nobody knows, and it is called again.
        """
        with self._file.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO results (id, success, service, tokens, cost, line)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(r.id, r.success, r.service, r.tokens, r.cost, r.line) for r in results],
            )
        self._file.sync()

    def forget_failures(self) -> int:
        """Make what failed rows to be run again; returns how many."""
        with self._file.transaction() as db:
            db.execute("INSERT OR IGNORE INTO retries SELECT id FROM results WHERE NOT success")
            count = db.execute("DELETE FROM results WHERE NOT success").rowcount
        self._file.sync()
        return count

    def sums(self) -> Sums:
        """Where the batch stands."""
        with self._file.snapshot() as db:
            return Sums(
                rows=db.execute("SELECT count(*) FROM rows").fetchone()[0],
                **dict(
                    zip(
                        ("done", "failed", "tokens", "cost"),
                        db.execute(
                            "SELECT count(*), coalesce(sum(NOT success), 0),"
                            " coalesce(sum(tokens), 0), sum(cost) FROM results"
                        ).fetchone(),
                        strict=True,
                    )
                ),
            )

    def waiting(
        self, after: int, most: int, *, only_failed: bool = False
    ) -> list[tuple[int, Record]]:
        """The next rows without a result behind position *after*, at most so many.

        only_failed: Only those that have failed before.
        """
        query = (
            "SELECT position, line, columns FROM rows WHERE position > ?"
            " AND NOT EXISTS (SELECT 1 FROM results WHERE results.id = rows.id)"
            " AND (NOT ? OR id IN (SELECT id FROM retries)) ORDER BY position LIMIT ?"
        )
        with self._file.snapshot() as db:
            found = db.execute(query, (after, only_failed, most)).fetchall()
        return [(position, Record(line, json.loads(text))) for position, line, text in found]

    @contextlib.contextmanager
    def answered(self) -> Generator[Callable[[str], bool]]:
        """Says of ids whether they have a result, all as of one moment."""
        query = "SELECT 1 FROM results WHERE id = ?"
        with self._file.snapshot() as db:
            yield lambda key: db.execute(query, (key,)).fetchone() is not None

    def lines(self, *, ordered: bool) -> Iterator[str]:
        """The output as it should be: in order of the input as far as it goes, or as done."""
        return self.ordered_lines(0) if ordered else self._lines_as_done()

    def _lines_as_done(self) -> Iterator[str]:
        last = 0
        while found := self._some(
            "SELECT sequence, line FROM results WHERE sequence > ? ORDER BY sequence", last
        ):
            yield from (line for _, line in found if line is not None)
            last = found[-1][0]

    def ordered_lines(self, after: int) -> Iterator[str]:
        """The lines of rows behind position *after*, until one has no result yet."""
        while found := self._some(
            "SELECT rows.position, results.line FROM rows LEFT JOIN results USING (id)"
            " WHERE rows.position > ? ORDER BY rows.position",
            after,
        ):
            for _, line in found:
                if line is None:
                    return
                yield line
            after = found[-1][0]

    def _some(self, query: str, after: int) -> list[tuple[int, str | None]]:
        with self._file.snapshot() as db:
            return db.execute(f"{query} LIMIT ?", (after, CHUNK)).fetchall()


@define(eq=False)
class Intake:
    """An input on its way into the journal."""

    _db: Connection
    _position: int = 0

    def add(self, key: str, record: Record) -> int | None:
        """Take in one row; the line of another of the same id if there is one."""
        self._position += 1
        columns = one_line_of(record.columns)
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO incoming VALUES (?, ?, ?, ?)",
            (self._position, key, record.line, columns),
        )
        if cursor.rowcount:
            return None
        found = self._db.execute("SELECT line FROM incoming WHERE id = ?", (key,)).fetchone()
        return int(found[0])

    def known(self) -> Iterator[Record]:
        """The rows that the batch has already."""
        query = "SELECT line, columns FROM rows ORDER BY position"
        return (Record(line, json.loads(text)) for line, text in self._db.execute(query))

    def difference(self) -> Difference:
        """What is not as it was."""
        counts: dict[str, int] = {}
        examples: list[str] = []
        for what, query in _DIFFERENCES.items():
            counts[what] = self._db.execute(f"SELECT count(*) {query}").fetchone()[0]
            found = self._db.execute(f"SELECT line, id {query} ORDER BY line LIMIT 3")
            examples += [f'line {line:,} (id "{key}") is {what}' for line, key in found]
        return Difference(**counts, examples=tuple(examples))

    def accept(self, facts: Mapping[str, Any], *, all_changed: bool = False) -> None:
        """Make it the input of the batch; results of rows that are gone or changed are dropped."""
        self._db.execute(
            "DELETE FROM results WHERE id NOT IN (SELECT id FROM incoming) OR id IN"
            " (SELECT i.id FROM incoming i JOIN rows r USING (id) WHERE i.columns != r.columns)"
        )
        if all_changed:
            self._db.execute("DELETE FROM results")
        self._db.execute("DELETE FROM rows")
        self._db.execute("INSERT INTO rows SELECT * FROM incoming")
        _note(self._db, facts)


_DIFFERENCES: Final = {
    "new": "FROM incoming WHERE id NOT IN (SELECT id FROM rows)",
    "changed": "FROM (SELECT i.line, i.id FROM incoming i JOIN rows r USING (id)"
    " WHERE i.columns != r.columns)",
    "gone": "FROM rows WHERE id NOT IN (SELECT id FROM incoming)",
}


def _note(db: Connection, facts: Mapping[str, Any]) -> None:
    pairs: Iterable[tuple[str, str]] = [(key, json.dumps(value)) for key, value in facts.items()]
    db.executemany("INSERT OR REPLACE INTO batch VALUES (?, ?)", pairs)
