"""What was used of each limit of one account, over sliding windows and on calendar days. Pure.

Two kinds of time come in, as in ``Account``: *now* of a clock that only goes forward, and *wall*,
Unix time, for calendar days.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from leyline.limits import Limit, Weight
from leyline.quota.answers import LimitStatus
from leyline.quota.windows import DayLog, SlidingLog, slack

Entries = dict[str, tuple[int, int]]
"""What one booking takes: by limit, the bucket or day it stands in, and its weight."""

Moves = dict[str, Callable[[int], int]]
"""By limit, where the entries of each bucket went."""


@define
class Tally:
    """By name of a limit: a log for each over a sliding window, and one for each of a day."""

    logs: dict[str, SlidingLog] = field(factory=dict[str, SlidingLog])
    days: dict[str, DayLog] = field(factory=dict[str, DayLog])

    def prepare(self, limits: Sequence[Limit], now: float, wall: float) -> Moves:
        """Get ready for *limits*, and forget what no longer counts."""
        moves: Moves = {}
        for limit in limits:
            if limit.reset is not None:
                self.days.setdefault(limit.name, DayLog()).forget(limit.reset.day(wall))
                continue
            span = limit.per + limit.guard + slack(limit.per)
            log = self.logs.get(limit.name)
            if log is None:
                log = self.logs[limit.name] = SlidingLog(span)
            log.forget(now)
            if log.takes(span):
                moves[limit.name] = log.move(span=span, by=0.0)
        return moves

    def shift(self, by: float) -> Moves:
        """Take over the moments of another clock, on which it was *by* seconds earlier."""
        return {name: log.move(span=log.span, by=by) for name, log in self.logs.items()}

    def fits(self, limit: Limit, weight: Weight, start: float, now: float, wall: float) -> float:
        """The first moment from *start* on at which *weight* fits into *limit*; may be infinite."""
        amount = weight.of(limit.measure)
        if limit.reset is None:
            return self.logs[limit.name].earliest(amount, limit.amount, start)
        if math.isinf(start):
            return start
        at = wall + (start - now)
        late = limit.guard + slack(limit.per)
        fits = self.days[limit.name].earliest(
            amount, limit.amount, at, reset=limit.reset, late=late
        )
        return start + (fits - at)

    def has_room(self, limit: Limit, weight: Weight, now: float, wall: float) -> bool:
        """Whether *weight* fits into *limit* now, before starts that are booked for later."""
        if limit.reset is not None:
            return self.fits(limit, weight, now, now, wall) <= now
        return self.logs[limit.name].has_room(weight.of(limit.measure), limit.amount, now)

    def enter(self, limits: Sequence[Limit], weight: Weight, start: float, wall: float) -> Entries:
        """Use up *weight* at *start*, which is *wall* in Unix time."""
        entries: Entries = {}
        for limit in limits:
            amount = weight.of(limit.measure)
            if limit.reset is not None:
                k = limit.reset.day(wall)
                self.days[limit.name].change(k, amount)
            else:
                k = self.logs[limit.name].add(amount, start)
            entries[limit.name] = (k, amount)
        return entries

    def change(self, name: str, k: int, by: int) -> None:
        """Correct what an entry of the limit *name* in bucket or on day *k* weighs."""
        if name in self.days and k in self.days[name]:
            self.days[name].change(k, by)
        elif name in self.logs:
            self.logs[name].change(k, by)

    def give_back(self, entries: Entries) -> None:
        """Undo ``enter``."""
        for name, (k, weight) in entries.items():
            self.change(name, k, -weight)

    def take_back(self, entries: Entries) -> None:
        """Undo ``give_back``."""
        for name, (k, weight) in entries.items():
            self.change(name, k, weight)

    def look(self, limit: Limit, now: float, wall: float) -> LimitStatus:
        """How much of *limit* is used."""
        if limit.reset is not None:
            used = self.days.get(limit.name, DayLog()).used(limit.reset.day(wall))
            waiting, frees_in = 0, limit.reset.ends(wall) - wall if used else None
        else:
            log = self.logs.get(limit.name, SlidingLog(limit.per))
            waiting = log.waiting(now)
            used = log.taken(now) - waiting
            frees_at = log.frees_at(now)
            frees_in = None if frees_at is None else frees_at - now
        return LimitStatus(
            name=limit.name, used=used, amount=limit.amount, waiting=waiting, frees_in=frees_in
        )

    def fullest(self, limits: Sequence[Limit], now: float, wall: float) -> tuple[float, str]:
        """The part taken of the fullest of *limits*, the first where they are alike; its name."""
        most, name = 0.0, ""
        for limit in limits:
            part = self.look(limit, now, wall).share
            if part > most or not name:
                most, name = part, limit.name
        return most, name

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "logs": {name: log.dump() for name, log in self.logs.items()},
            "days": {name: days.dump() for name, days in self.days.items()},
        }

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Tally":
        """From what ``dump`` gave."""
        return cls(
            logs={name: SlidingLog.load(flat) for name, flat in state["logs"].items()},
            days={name: DayLog.load(pairs) for name, pairs in state["days"].items()},
        )
