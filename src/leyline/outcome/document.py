"""Read what a tool wrote as the one document that a preset's expressions see."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import frozen

from leyline.config import OutputFormat

_MAX_CANDIDATES: Final = 32
"""Places in a noisy stream at which a document is tried; bounds the work on hostile output."""

_MAX_BROKEN: Final = 10_000
"""Lines that look like documents and are none, after which no more are tried: each costs as much as
ten that do not look so, and a tool that writes so many is another than the preset describes."""

_MAX_NOISY: Final = 4 * 2**20
"""Characters at the end of a noisy stream that are searched for a document."""


@frozen
class Document:
    """One run's output, read.

    root: ``out``, ``err`` and the files, by name.
    whole: Whether standard output could be read to its end as the format says.
    is_text: Whether the output itself is the answer.
    """

    root: Mapping[str, Any]
    whole: bool
    is_text: bool

    @property
    def structured(self) -> bool:
        """Whether all of the output is data, so that no error stands in it as plain text."""
        return self.whole and not self.is_text


def read_document(
    stdout: str, stderr: str, files: Mapping[str, str], output_format: OutputFormat
) -> Document:
    """The document of a run. Never raises: what cannot be read is null, and not ``whole``."""
    out, whole, is_text = _read_output(stdout, output_format)
    root: dict[str, Any] = {"out": out, "err": _last_object(stderr)}
    for name, content in files.items():
        root[name] = parse_json(content)
    return Document(root, whole, is_text)


def _read_output(stdout: str, output_format: OutputFormat) -> tuple[Any, bool, bool]:
    match output_format:
        case OutputFormat.TEXT:
            return stdout, True, True
        case OutputFormat.JSON:
            return *_read_json(stdout), False
        case OutputFormat.JSONL:
            return *_read_lines(stdout), False
        case OutputFormat.AUTO:
            return _read_whichever(stdout)


def _read_whichever(stdout: str) -> tuple[Any, bool, bool]:
    document: Any = parse_json(stdout)
    if isinstance(document, dict | list):
        return cast("Any", document), True, False
    lines, _ = _read_lines(stdout)
    if lines and len(lines) == sum(1 for line in stdout.split("\n") if line.strip()):
        return lines, True, False
    return stdout, True, True


def _read_json(stdout: str) -> tuple[Any, bool]:
    """One document; where a tool printed warnings before or after it, the last one."""
    document = parse_json(stdout)
    if document is not None:
        return document, True
    document = _last_object(stdout)
    return document, document is not None


def _read_lines(stdout: str) -> tuple[list[Any], bool]:
    """The lines that are JSON objects or lists; whole if the last one is."""
    lines: list[Any] = []
    whole, broken = True, 0
    for line in filter(None, map(str.strip, stdout.split("\n"))):
        value = parse_line(line)
        whole = value is not None
        if whole:
            lines.append(value)
        elif _is_closed(line):
            broken += 1
            if broken == _MAX_BROKEN:
                break
    return lines, whole


def _last_object(text: str) -> Any:
    """The last JSON object or list that begins a line of *text*; null if there is none."""
    text = text[-_MAX_NOISY:]
    end = len(text)
    for _ in range(_MAX_CANDIDATES):
        start = max(_line_start(text, "{", end), _line_start(text, "[", end))
        if start < 0:
            return None
        try:
            value, _ = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start
        else:
            return value
    return None


def _line_start(text: str, bracket: str, end: int) -> int:
    """Where the last line before *end* that begins with *bracket* starts; -1 if none does."""
    found = text.rfind(f"\n{bracket}", 0, end)
    if found >= 0:
        return found + 1
    return 0 if end > 0 and text.startswith(bracket) else -1


def parse_line(line: str) -> Any:
    """The JSON object or list that *line* is; None if it is none, which mostly costs little."""
    line = line.strip()
    return parse_json(line) if _is_closed(line) else None


def _is_closed(line: str) -> bool:
    return line[:1] + line[-1:] in ("{}", "[]")


def parse_json(text: str) -> Any:
    """The JSON document that *text* is; None if it is none."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


_DECODER: Final = json.JSONDecoder(strict=False)
