"""Reasons for people: one bounded line, without secrets."""

import re
from typing import Final

from leyline.errors import InvalidCallError, LeylineError, RejectedError

MAX_REASON: Final = 300

_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def one_line(text: str, limit: int = MAX_REASON) -> str:
    """*text* on one line of at most *limit* characters, without control characters."""
    plain = "".join(c if c.isprintable() else " " for c in _ESCAPES.sub("", text))
    line = " ".join(plain.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def first_line(text: str, limit: int) -> str:
    """The first line of *text* that is not blank, as ``one_line``; empty if there is none."""
    return next(filter(None, (one_line(line, limit) for line in text.splitlines())), "")


def reason_of(error: LeylineError) -> str:
    """What *error* says, without the name of the service, which the reader knows."""
    if isinstance(error, RejectedError | InvalidCallError):
        return one_line(error.reason)
    return one_line(str(error))
