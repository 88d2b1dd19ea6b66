"""The rows of a file as they stand there: JSON lines, CSV or plain lines, one at a time."""

import csv
import json
import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn, cast

from attrs import field, frozen

from leyline.batch.errors import BatchError

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_CELL: Final = 2**31 - 1


class Format(StrEnum):
    """How rows are written. LINES: Each line that is not blank is a prompt."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    LINES = "lines"


_SUFFIXES: Final = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
}


@frozen
class Record:
    """One row. line: Of its beginning, from 1. columns: By name."""

    line: int
    columns: Mapping[str, Any]


@frozen
class Flaw:
    """A row that cannot be read. line: Of its beginning. reason: What is wrong with it."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line:,}: {self.reason}"


@frozen(kw_only=True)
class Source:
    """An input, read once from its beginning to its end.

    name: For messages. stream: Its bytes. format: How to read them.
    digest: Of all that was read; complete when the rows are.
    """

    name: str
    stream: BinaryIO
    format: Format
    digest: Any = field(factory=sha256, init=False)

    def rows(self) -> Iterator[Record | Flaw]:
        """Every row in order; one that is wrong does not keep the next from being read.

        Raises BatchError if the input cannot be read at all.
        """
        try:
            match self.format:
                case Format.JSONL:
                    yield from map(_object, self._numbered())
                case Format.LINES:
                    yield from map(_line, self._numbered())
                case Format.CSV | Format.TSV:
                    yield from self._table("," if self.format is Format.CSV else "\t")
        except OSError as error:
            raise BatchError(self.name, f"cannot be read: {error.strerror}") from error

    def _raw(self) -> Iterator[bytes]:
        first = True
        for line in self.stream:
            self.digest.update(line)
            yield line.removeprefix(_BOM) if first else line
            first = False

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        return ((k, line) for k, line in enumerate(self._raw(), 1) if line.strip())

    def _table(self, delimiter: str) -> Generator[Record | Flaw]:
        """The rows below the first, which names the columns."""
        csv.field_size_limit(_LONGEST_CELL)
        text = _Decoded(self._raw())
        cells = csv.reader(text, delimiter=delimiter, strict=True)
        names: list[str] | None = None
        while True:
            begun = cells.line_num + 1
            try:
                row = next(cells, None)
            except csv.Error as error:
                yield Flaw(begun, f"no {self.format.upper()}: {error}")
                return  # where a quote is lost, nobody knows where rows begin
            if row is None:
                return
            if text.broken:
                yield text.broken.pop()
                if names is None:
                    return  # nobody knows the columns
            elif not row:
                continue
            elif names is None:
                names, flaw = _header(begun, row)
                if flaw is not None:
                    yield flaw
                    return
            elif len(row) != len(names):
                said = f"it has {len(row)} columns, and the first line names {len(names)}"
                yield Flaw(begun, f"{said}; quote cells that hold a {delimiter!r}")
            else:
                yield Record(begun, dict(zip(names, row, strict=True)))


class _Decoded:
    """Lines as text; keeps what could not be decoded."""

    def __init__(self, raw: Iterable[bytes]) -> None:
        self._raw = raw
        self.broken: list[Flaw] = []

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._raw, 1):
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                self.broken = [Flaw(number, _undecodable(error))]
                yield line.decode(errors="replace")


def open_source(path: str, stdin: BinaryIO, form: Format | None = None) -> Source:
    """The input at *path*, or ``-``: standard input. Raises BatchError if there is none.

    form: None: by the ending of its name (``.jsonl``, ``.csv``, ``.tsv``), else plain lines.
    """
    if path == "-":
        return Source(name="standard input", stream=stdin, format=form or Format.LINES)
    try:
        stream = Path(path).open("rb")  # noqa: SIM115  (who asks for it closes it)
    except OSError as error:
        raise BatchError(path, f"cannot be read: {error.strerror}") from error
    chosen = form or _SUFFIXES.get(Path(path).suffix.lower(), Format.LINES)
    return Source(name=path, stream=stream, format=chosen)


def _object(numbered: tuple[int, bytes]) -> Record | Flaw:
    number, line = numbered
    try:
        columns = json.loads(line.decode(), parse_constant=_no_number, parse_float=_finite)
    except UnicodeDecodeError as error:
        return Flaw(number, _undecodable(error))
    except (ValueError, RecursionError) as error:
        return Flaw(number, f"no JSON: {error}")
    if not isinstance(columns, dict):
        what = type(columns).__name__
        return Flaw(number, f"expected one JSON object a line, got {_article(what)}")
    return Record(number, cast("dict[str, Any]", columns))


def _finite(word: str) -> float:
    number = float(word)
    return number if math.isfinite(number) else _no_number(word)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _line(numbered: tuple[int, bytes]) -> Record | Flaw:
    number, line = numbered
    try:
        return Record(number, {"prompt": line.decode().rstrip("\r\n")})
    except UnicodeDecodeError as error:
        return Flaw(number, _undecodable(error))


def _header(line: int, row: list[str]) -> tuple[list[str], Flaw | None]:
    names = [name.strip() for name in row]
    if not all(names):
        return names, Flaw(line, "a column has no name; the first line names the columns")
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        return names, Flaw(line, f'two columns are called "{twice[0]}"')
    return names, None


def _undecodable(error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return f"no UTF-8 text (byte {error.start + 1:,} is 0x{byte:02x}); convert it first"


def _article(what: str) -> str:
    return {"list": "an array", "str": "a string", "NoneType": "null"}.get(what, f"a {what}")
