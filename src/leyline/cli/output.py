"""What the program writes: answers on standard output, everything else on standard error."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast

import attrs

from leyline.cli.exits import OutputError
from leyline.wording import one_line


def prepare_streams() -> None:
    """Make the standard streams bear whatever is written to them."""
    if sys.stdout is None:  # closed by whoever started this program
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="replace")


def write(text: str) -> None:
    """Write *text* to standard output, newline-terminated.

    A reader that has left (``| head``) is no error: what it does not want is dropped.
    Raises OutputError where nothing can be written for another reason.
    """
    if text and not text.endswith("\n"):
        text += "\n"
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def note(text: str) -> None:
    """Say *text* on standard error, as coming from leyline.

    That nobody can hear it (a closed pipe, a lost terminal) is no error: the work goes on.
    """
    try:
        sys.stderr.write(f"leyline: {text}\n")
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def write_json(value: object) -> None:
    """Write one JSON document: attrs values as objects, enums as their text."""
    readable = sys.stdout.encoding.lower().startswith("utf")
    write(json.dumps(value, indent=2, ensure_ascii=not readable, default=_plain))


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether *stream* (default: standard output) is a terminal that can do more than lines."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM", "dumb") != "dumb"


def on_one_line(text: str) -> str:
    """*text* without line breaks and control characters."""
    return one_line(text, limit=sys.maxsize)


def _plain(value: Any) -> Any:
    """What json does not know of itself: a value of ours, or a mapping that is no dict."""
    return attrs.asdict(value, recurse=False) if attrs.has(value.__class__) else dict(value)


def _silence(stream: TextIO) -> None:
    """Drop what *stream* holds and is still to get: else the interpreter would try again when it
    exits, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _nowhere() -> io.TextIOWrapper:
    return Path(os.devnull).open("w", encoding="utf-8")
