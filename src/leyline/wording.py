"""Words of others, fit for a message: bounded, on one line, without control characters."""

import re
from typing import Final

STATUS_LOST: Final = (
    "its exit status is lost, as this program ignores SIGCHLD or waits for every child itself; "
    "let it do neither (signal.signal(signal.SIGCHLD, signal.SIG_DFL))"
)
"""Of a process that ended, nobody knows how."""

_LINES: Final = 3
_SEARCHED: Final = 16_000
"""Characters that are looked at, so that a message out of megabytes costs no more than another."""

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")


def one_line(text: str, limit: int = 300) -> str:
    """*text* on one line of at most *limit* characters; what is left out is at the end."""
    line = _plain(text[:_SEARCHED])
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def first_line(text: str, limit: int = 300) -> str:
    """The first line of *text* that is not blank, as ``one_line``; empty if there is none."""
    lines = text[:_SEARCHED].splitlines()
    return next(filter(None, (one_line(line, limit) for line in lines)), "")


def last_lines(text: str, limit: int = 300) -> str:
    """The last three lines of *text* that are not blank, as one of at most *limit* characters.

    What is left out is at the start: errors come last.
    """
    lines = [plain for line in text[-_SEARCHED:].splitlines() if (plain := _plain(line))]
    line = " / ".join(lines[-_LINES:])
    return line if len(line) <= limit else f"…{line[1 - limit :]}"


def _plain(text: str) -> str:
    """Without colours and control characters, white space folded."""
    text = _ESCAPES.sub("", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
