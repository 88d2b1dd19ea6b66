"""Sessions: calls that follow each other with less than an hour between them. Pure."""

import re
import secrets
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

GAP: Final = 3600.0
"""Seconds without any activity after which a new session begins."""

_MADE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@frozen
class Session:
    """A session that nobody named. last: Unix time of what was last done in it."""

    id: str
    last: float

    @classmethod
    def at(cls, moment: float) -> "Session":
        """A new one that begins at Unix time *moment*."""
        begun = datetime.fromtimestamp(moment, UTC)
        return cls(f"{begun:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}", moment)

    @staticmethod
    def names(name: str) -> bool:
        """Whether *name* is one that ``at`` gives; callers name theirs as they like."""
        return _MADE.fullmatch(name) is not None


def session_at(moment: float, last: Session | None) -> Session:
    """The session of what was done at Unix time *moment*, *last* being the latest so far.

    Records come a little out of order; an earlier one is part of the session too.
    """
    if last is None or moment - last.last >= GAP:
        return Session.at(moment)
    return Session(last.id, max(last.last, moment))
