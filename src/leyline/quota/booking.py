"""A start that is reserved and not settled yet, as an account keeps it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define

from leyline.limits import Limit
from leyline.quota.tally import Entries
from leyline.quota.windows import slack

LEASE: Final = 90.0
"""Seconds for which a booking for later is kept though nobody asks for it. Who waits asks more
often, and one who was killed must not hold up the others until its moment."""


@define
class Booking:
    """at: When it starts. entries: The bucket (or day) and the weight that each limit holds.

    seen: When whoever booked it was last heard of.
    """

    at: float
    entries: Entries
    seen: float

    def abandoned(self, now: float) -> bool:
        """Whether whoever booked it, for later than *now*, must have ended without a word."""
        return self.at > now > self.seen + LEASE

    def stands(self, limits: Sequence[Limit], now: float, wall: float) -> bool:
        """Whether a start at *now*, or where that is too early at its moment, is the one booked."""
        shortest = min((limit.per for limit in limits if limit.reset is None), default=math.inf)
        if now > self.at + slack(shortest):
            return False
        at = wall + max(0.0, self.at - now)  # the wall clock may have been put forward or back
        return all(
            limit.reset.day(at) == self.entries[limit.name][0]
            for limit in limits
            if limit.reset is not None and limit.name in self.entries
        )

    def follow(self, name: str, moved: Callable[[int], int]) -> None:
        """Know where its entry in the log of limit *name* went."""
        if name in self.entries:
            k, reserved = self.entries[name]
            self.entries[name] = (moved(k), reserved)

    def dump(self) -> tuple[float, Mapping[str, tuple[int, int]], float]:
        """As it is written."""
        return self.at, self.entries, self.seen

    @classmethod
    def load(cls, written: Sequence[Any]) -> "Booking":
        """From what ``dump`` gave, of this version or the one before."""
        at, entries, *seen = written
        held = {name: (k, reserved) for name, (k, reserved) in entries.items()}
        return cls(at, held, *seen or (at,))
