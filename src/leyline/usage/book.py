# ruff: noqa: S608  (all words of the queries are ours; values are never put into them)
"""The book of what was spent: reads what sinks wrote, and adds it up. SQL does the adding."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from leyline.database import open_for_reading
from leyline.usage import prices
from leyline.usage.record import UsageRecord
from leyline.usage.summary import EVERYTHING, FailureCount, Sample, UsageFilter, UsageSummary
from leyline.usage.table import COLUMNS, INSERT, SCHEMA, record_of_row, row_of


class GroupBy(StrEnum):
    """What is added up together."""

    SERVICE = "service"
    MODEL = "model"
    DAY = "day"
    SESSION = "session"


_NOWHERE: Final = Path(":memory:")
_KEYS: Final = {
    GroupBy.SERVICE: "service",
    GroupBy.MODEL: "coalesce(model, '')",
    GroupBy.DAY: "date(at, 'unixepoch', 'localtime')",
    GroupBy.SESSION: "session",
}

_PRICED: Final = (  # materialized: else each mention of the dollars would work them out again
    "WITH priced AS MATERIALIZED (SELECT *, coalesce(cost_usd,"
    " CASE WHEN measured THEN"
    " price(model, input_tokens, output_tokens, cached_tokens, requests, at) END) AS dollars"
    " FROM records WHERE {})"
)
_SUMS: Final = (
    "total(NOT refused), total(refused), total(success), total(requests), total(input_tokens),"
    " total(cached_tokens), total(output_tokens), total(reasoning_tokens), total(total_tokens),"
    " sum(dollars), total(CASE WHEN cost_usd IS NULL OR cost_estimated THEN dollars END),"
    " total(dollars IS NULL), total(duration), min(at), max(at)"
)


class UsageBook:
    """What was recorded, to be read and added up. Close it, or use it in a ``with``.

    What a tool reported only in tokens is priced by a list, as of the time of the run.
    """

    def __init__(self, db: sqlite3.Connection, path: Path = _NOWHERE) -> None:
        """db: Has the table of records, and is closed with the book. path: Its file."""
        self._db = db
        self._path = path
        db.create_function("price", 6, _price, deterministic=True)
        db.execute("BEGIN")  # all that is read is of one moment, whoever writes meanwhile

    @classmethod
    def open(cls, path: Path) -> Self:
        """The book of the file at *path*: SQLite, or lines of JSON where its name ends in .jsonl.

        A file that is not there is an empty book; none is made. Raises UsageStoreError.
        """
        with SCHEMA.translating(path):
            try:
                path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return cls.of(())
        if path.suffix == ".jsonl":
            from leyline.usage.jsonl import read_records

            return cls.of(read_records(path))
        db = open_for_reading(path, SCHEMA)
        if SCHEMA.version(db, path) == 0:  # empty: somebody is about to write it
            db.close()
            return cls.of(())
        return cls(db, path)

    @classmethod
    def of(cls, records: Iterable[UsageRecord]) -> Self:
        """The book of *records*."""
        db = sqlite3.connect(":memory:", isolation_level=None)
        SCHEMA.migrate(db, _NOWHERE)
        db.execute("BEGIN")
        db.executemany(INSERT, (row_of(record, record.session) for record in records))
        db.execute("COMMIT")
        return cls(db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def summaries(
        self, by: GroupBy = GroupBy.SERVICE, where: UsageFilter = EVERYTHING
    ) -> list[UsageSummary]:
        """What was spent by each service (or model, day, session), in the order of their names.

        A day is one of the user's own time zone.
        """
        condition, values = where.condition()
        return [
            UsageSummary.of(key, sums)
            for key, *sums in self._rows(
                f"{_PRICED} SELECT {_KEYS[by]}, {_SUMS} FROM priced GROUP BY 1 ORDER BY 1",
                condition,
                values,
            )
        ]

    def total(self, where: UsageFilter = EVERYTHING) -> UsageSummary:
        """What was spent by all of them together."""
        condition, values = where.condition()
        (sums,) = self._rows(f"{_PRICED} SELECT {_SUMS} FROM priced", condition, values)
        return UsageSummary.of("", sums)

    def failures(self, where: UsageFilter = EVERYTHING) -> list[FailureCount]:
        """How often what failed or was refused, of each service; the most frequent first."""
        condition, values = where.condition()
        return [
            FailureCount(
                service=service, failure=failure, refused=bool(refused), count=count, last_at=last
            )
            for service, failure, refused, count, last in self._rows(
                "SELECT service, failure, refused, count(*), max(at) FROM records"
                " WHERE NOT success AND {} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2",
                condition,
                values,
            )
        ]

    def samples(self, where: UsageFilter = EVERYTHING) -> Iterator[Sample]:
        """Each record in the order of time, with what plots need of it."""
        condition, values = where.condition()
        rows = self._rows(
            f"{_PRICED} SELECT at, service, requests, input_tokens,"
            " output_tokens, duration, success, refused, failure, dollars,"
            " cost_usd IS NULL OR cost_estimated FROM priced ORDER BY at",
            condition,
            values,
        )
        return (Sample.of(*row) for row in rows)

    def records(self, where: UsageFilter = EVERYTHING) -> Iterator[UsageRecord]:
        """Each record in the order of time, as it was written."""
        condition, values = where.condition()
        columns = ", ".join(COLUMNS)
        rows = self._rows(
            f"SELECT {columns} FROM records WHERE {{}} ORDER BY at", condition, values
        )
        return map(record_of_row, rows)

    def _rows(self, query: str, condition: str, values: dict[str, Any]) -> Iterator[Any]:
        """What *query* finds; the words of a condition are ours, its values are not."""
        with (
            SCHEMA.translating(self._path),
            contextlib.closing(self._db.execute(query.format(condition), values)) as rows,
        ):
            yield from rows


def _price(  # noqa: PLR0917  (SQL has no names for arguments)
    model: str | None, read: int, written: int, cached: int, requests: int, at: float
) -> float | None:
    return prices.price(model, read, written, cached_tokens=cached, requests=requests, at=at)
