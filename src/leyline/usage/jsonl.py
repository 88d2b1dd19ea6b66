"""Records as lines of JSON, one ``write`` a line: for other programs, and for ``tail -f``."""

import errno
import fcntl
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from attrs import evolve

from leyline.errors import UsageStoreError
from leyline.usage.record import UsageRecord
from leyline.usage.sessions import Session, session_at
from leyline.usage.table import json_of

_TAIL: Final = 256 * 1024
"""Bytes at the end of a file in which the latest session is looked for."""

_IN_METADATA: Final[Mapping[str, tuple[type, ...]]] = {
    "model": (str,),
    "input_tokens": (int,),
    "cached_tokens": (int,),
    "output_tokens": (int,),
    "reasoning_tokens": (int,),
    "requests": (int,),
    "measured": (bool,),
    "cost_usd": (int, float),
    "cost_estimated": (bool,),
    "refused": (bool,),
    "failure": (str,),
    "queued": (int, float),
    "attempt": (int,),
    "call": (str,),
    "prompt_sha256": (str,),
    "prompt_bytes": (int,),
    "prompt": (str,),
}
"""Fields of a record, and what they may be in a line."""

_LARGEST: Final = 2**63 - 1
"""What sums can be made of: SQLite counts in 64 bits."""

_CALENDAR: Final = (-62_104_060_800.0, 253_370_764_800.0)
"""Unix time of the years 2 and 9999, between which a moment has a date in every zone."""


class JsonlSink:
    """A sink into the file *path*, to which it only ever appends.

    The keys of a line: ``timestamp`` (ISO 8601, UTC), ``session_id``, ``service``, ``operation``,
    ``tokens``, ``success``, ``duration_seconds``; the rest is inside ``metadata``. The file is
    opened for each batch, so it may be moved away at any time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._session: Session | None = None

    def write(self, records: Sequence[UsageRecord], /) -> int:
        """See ``Sink``. Where a disk is full in the middle of a line, readers skip that line."""
        written = 0
        try:
            with self._locked() as file:
                lines = [line_of(self._in_session(r, file)).encode() for r in records]
                if not _ends_a_line(file):
                    lines[:1] = [b"\n" + line for line in lines[:1]]
                for line in lines:
                    _append(file, line)
                    written += 1
        except OSError as error:
            if not written:
                raise UsageStoreError(str(self._path), _reason(error)) from error
        return written

    def sync(self) -> None:
        """See ``Sink``."""
        try:
            with self._locked() as file:
                os.fsync(file)
        except OSError as error:
            raise UsageStoreError(str(self._path), _reason(error)) from error

    def close(self) -> None:
        """See ``Sink``."""

    @contextmanager
    def _locked(self) -> Generator[int]:
        """The file, held against others that decide on a session or mend a torn line."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a fork shares it
            os.close(file)

    def _in_session(self, record: UsageRecord, file: int) -> UsageRecord:
        if record.session:
            return record
        session = session_at(record.at, self._session)
        if self._session is None or session.id != self._session.id:  # others may have been active
            session = session_at(record.at, _latest_session(file))
        self._session = session
        return evolve(record, session=session.id)


def _append(file: int, line: bytes) -> None:
    if os.write(file, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def line_of(record: UsageRecord) -> str:
    """One line for *record*, newline-terminated. Facts that are not there are left out."""
    facts = {name: getattr(record, name) for name in _IN_METADATA}
    metadata = {name: fact for name, fact in facts.items() if fact not in (None, "")}
    if record.metadata:
        metadata["metadata"] = json.loads(json_of(record.metadata))
    line = {
        "timestamp": datetime.fromtimestamp(record.at, UTC).isoformat(),
        "session_id": record.session,
        "service": record.service,
        "operation": record.operation,
        "tokens": record.total_tokens,
        "success": record.success,
        "duration_seconds": record.duration,
        "metadata": metadata,
    }
    return json.dumps(line) + "\n"


def record_of(line: bytes | str) -> UsageRecord | None:
    """The record of one line, also of one that another program wrote with only the outer keys.

    None: it is none, such as the torn line of a full disk, or one with facts beyond all bounds: a
    time that no calendar has, a number that is infinite or needs more than 64 bits.
    """
    try:
        found = json.loads(line)
        metadata = dict(found.get("metadata") or {})
        facts: dict[str, Any] = {"requests": 1}
        for name, kinds in _IN_METADATA.items():
            if isinstance(metadata.get(name), kinds):
                facts[name] = metadata.pop(name)
        facts["total_tokens"] = int(found.get("tokens") or 0)
        facts["duration"] = float(found.get("duration_seconds") or 0.0)
        more = metadata.pop("metadata", {})
        record = UsageRecord(
            at=_moment(found["timestamp"]),
            session=str(found.get("session_id") or ""),
            service=str(found["service"]),
            operation=str(found.get("operation") or "execute"),
            success=bool(found["success"]),
            metadata={**metadata, **_mapping(more)},
            **facts,
        )
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    numbers = (fact for fact in facts.values() if isinstance(fact, int | float))
    return record if all(abs(number) <= _LARGEST for number in numbers) else None


def read_records(path: Path) -> Iterator[UsageRecord]:
    """All records of a file, in its order; lines that are none are passed over."""
    try:
        with path.open("rb") as file:
            for line in file:
                if (record := record_of(line)) is not None:
                    yield record
    except OSError as error:
        raise UsageStoreError(str(path), _reason(error)) from error


def _moment(stamp: Any) -> float:
    if isinstance(stamp, int | float):
        moment = float(stamp)
    else:
        moment = datetime.fromisoformat(stamp).timestamp()
    if not _CALENDAR[0] <= moment < _CALENDAR[1]:  # nor where it is not a number
        raise ValueError(stamp)
    return moment


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {"metadata": value}


def _latest_session(file: int) -> Session | None:
    """That of the last record in the file whose session has a name of our making."""
    size = os.fstat(file).st_size
    tail = os.pread(file, _TAIL, max(0, size - _TAIL))
    for line in reversed(tail.splitlines()):
        record = record_of(line)
        if record is not None and Session.names(record.session):
            return Session(record.session, record.at)
    return None


def _ends_a_line(file: int) -> bool:
    size = os.fstat(file).st_size
    return size == 0 or os.pread(file, 1, size - 1) == b"\n"


def _reason(error: OSError) -> str:
    return f"it cannot be read or written; see to its rights and the disk ({error})"
