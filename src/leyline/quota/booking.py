"""A start that is reserved and not settled yet, as an account keeps it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define

from leyline.limits import Limit
from leyline.quota.tally import Entries
from leyline.quota.windows import slack


@define
class Booking:
    """at: When it starts. entries: The bucket (or day) and the weight that each limit holds."""

    at: float
    entries: Entries

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

    def dump(self) -> tuple[float, Mapping[str, tuple[int, int]]]:
        """As it is written."""
        return self.at, self.entries

    @classmethod
    def load(cls, written: tuple[float, Mapping[str, Any]]) -> "Booking":
        """From what ``dump`` gave."""
        at, entries = written
        return cls(at, {name: (k, reserved) for name, (k, reserved) in entries.items()})
