"""A tool's own words, fit for a message: short, on one line, without control characters."""

import re
from typing import Final

_LONGEST: Final = 500
_LINES: Final = 3
_SEARCHED: Final = 16_000

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")


def one_line(text: str) -> str:
    """*text* on one line of at most 500 characters; what is left out is at the end."""
    line = _plain(text[:_SEARCHED])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def last_lines(text: str) -> str:
    """The last three lines of *text* that are not blank, on one line of at most 500 characters."""
    lines = [plain for line in text[-_SEARCHED:].splitlines() if (plain := _plain(line))]
    line = " / ".join(lines[-_LINES:])
    return line if len(line) <= _LONGEST else f"…{line[1 - _LONGEST :]}"


def _plain(text: str) -> str:
    """Without colours and control characters, white space folded."""
    text = _ESCAPES.sub("", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
