"""The table of records in SQLite: its versions, and how a record becomes a row and back."""

import json
from typing import Any, Final

from leyline.database import Schema
from leyline.errors import UsageStoreError
from leyline.usage.record import UsageRecord

COLUMNS: Final = (
    "at", "session", "service", "model", "operation", "input_tokens", "cached_tokens",
    "output_tokens", "reasoning_tokens", "total_tokens", "requests", "measured", "cost_usd",
    "cost_estimated", "success", "refused", "failure", "duration", "queued", "attempt", "call",
    "prompt_sha256", "prompt_bytes", "prompt", "metadata",
)  # fmt: skip
"""Named as the fields of ``UsageRecord``, and in their order."""

SCHEMA: Final = Schema(
    application=0x4C59_5547,
    migrations=(
        (
            (
                "CREATE TABLE records ("
                " at REAL NOT NULL, session TEXT NOT NULL, service TEXT NOT NULL, model TEXT,"
                " operation TEXT NOT NULL, input_tokens INTEGER NOT NULL,"
                " cached_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,"
                " reasoning_tokens INTEGER NOT NULL, total_tokens INTEGER NOT NULL,"
                " requests INTEGER NOT NULL, measured INTEGER NOT NULL, cost_usd REAL,"
                " cost_estimated INTEGER NOT NULL, success INTEGER NOT NULL,"
                " refused INTEGER NOT NULL,"
                " failure TEXT NOT NULL, duration REAL NOT NULL, queued REAL NOT NULL,"
                " attempt INTEGER NOT NULL, call TEXT NOT NULL, prompt_sha256 TEXT NOT NULL,"
                " prompt_bytes INTEGER NOT NULL, prompt TEXT, metadata TEXT)"
            ),
            "CREATE INDEX records_at ON records (at)",
            "CREATE TABLE session (id TEXT NOT NULL, last REAL NOT NULL)",  # the latest unnamed
        ),
    ),
    fail=UsageStoreError,
)

INSERT: Final = (
    f"INSERT INTO records ({', '.join(COLUMNS)})"  # noqa: S608  (names of our own)
    f" VALUES ({', '.join('?' * len(COLUMNS))})"
)


def row_of(record: UsageRecord, session: str) -> tuple[Any, ...]:
    """*record* as a row of ``INSERT``."""
    r = record
    return (
        r.at, _text(session), _text(r.service), _text(r.model), _text(r.operation), r.input_tokens,
        r.cached_tokens, r.output_tokens, r.reasoning_tokens, r.total_tokens, r.requests,
        r.measured, r.cost_usd, r.cost_estimated, r.success, r.refused, _text(r.failure),
        r.duration, r.queued, r.attempt, _text(r.call), _text(r.prompt_sha256), r.prompt_bytes,
        _text(r.prompt), json_of(r.metadata) if r.metadata else None,
    )  # fmt: skip


def json_of(value: object) -> str:
    """*value* as JSON on one line; what JSON has no word for becomes its text."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError):  # keys that are none, or a circle
        return json.dumps(repr(value))


def _plain(value: Any) -> Any:
    try:
        return dict(value)
    except (TypeError, ValueError):
        return str(value)


def _text(value: str | None) -> str | None:
    """*value* as SQLite can keep it: half a character of UTF-16 is not text to it."""
    if value is None or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode()


def record_of_row(row: tuple[Any, ...]) -> UsageRecord:
    """The record of a row with all ``COLUMNS``."""
    facts = dict(zip(COLUMNS, row, strict=True))
    for name in ("measured", "cost_estimated", "success", "refused"):
        facts[name] = bool(facts[name])
    metadata = facts["metadata"]
    facts["metadata"] = {} if metadata is None else json.loads(metadata)
    return UsageRecord(**facts)
