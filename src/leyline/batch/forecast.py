"""How long what is left of a batch will take, as its quotas allow. Pure."""

import math
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from leyline.limits import Limit, Measure
from leyline.quota import LimitStatus

_LONGEST: Final = 100 * 366 * 86_400.0


@frozen(kw_only=True)
class Room:
    """What one service allows from now on.

    limits: Each with how much of it is used. closed_for: Seconds until anything starts.
    tokens: Of one row, on average.
    """

    limits: Sequence[tuple[Limit, LimitStatus]]
    closed_for: float = 0.0
    tokens: float = 0.0

    def rows(self, seconds: float) -> float:
        """Rows that can start within so many seconds."""
        if seconds < self.closed_for:
            return 0.0
        return min((self._fit(*limit, seconds) for limit in self.limits), default=math.inf)

    def _fit(self, limit: Limit, status: LimitStatus, seconds: float) -> float:
        each = 1.0 if limit.measure is Measure.REQUESTS else self.tokens
        if not each:
            return math.inf
        free: float = status.left
        if limit.reset is None:
            free += limit.amount * seconds / limit.per
        elif seconds >= (first := limit.per if status.frees_in is None else status.frees_in):
            free += limit.amount * (1 + math.floor((seconds - first) / limit.per))
        return free / each


def time_left(left: int, rooms: Sequence[Room], *, lanes: int, seconds: float | None) -> float:
    """Seconds until *left* rows are done; infinite where they never are.

    rooms: Of every service that may answer. lanes: Rows at once. seconds: That one takes, on
    average; None: nobody knows.
    """
    if not left:
        return 0.0
    work = 0.0 if seconds is None else seconds * math.ceil(left / lanes)
    short, long = 0.0, work + 1.0
    while sum(room.rows(long) for room in rooms) < left:
        short, long = long, long * 2
        if long > _LONGEST:
            return math.inf
    while long - short > max(0.5, long / 1000):
        middle = (short + long) / 2
        enough = sum(room.rows(middle) for room in rooms) >= left
        short, long = (short, middle) if enough else (middle, long)
    return max(work, long if short > 0 else 0.0)
