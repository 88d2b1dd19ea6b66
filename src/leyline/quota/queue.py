"""Who is next: a queue of three classes in which nobody starves. Pure and synchronous."""

import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from attrs import define, field

from leyline.model import Priority

T = TypeVar("T", bound=Hashable)

PATIENCE: Final = 8
"""How often a class is passed over before the first of it is next."""


@define(eq=False)
class Queue(Generic[T]):
    """First come, first served within a class; a higher class before a lower one.

    A class that was passed over ``PATIENCE`` times has its turn, so that the first of any class
    is served within ``PATIENCE + 3``, whoever arrives meanwhile. It ages by what was served, not
    by time: behind a long backlog everybody is old, and the highest class would go last.
    """

    _classes: dict[Priority, OrderedDict[T, None]] = field(
        factory=lambda: {priority: OrderedDict[T, None]() for priority in Priority}
    )
    _passed: dict[Priority, int] = field(factory=lambda: dict.fromkeys(Priority, 0))
    _deadlines: list[tuple[float, int, T]] = field(factory=list[tuple[float, int, T]])
    _numbers: "itertools.count[int]" = field(factory=itertools.count)

    def __len__(self) -> int:
        return sum(map(len, self._classes.values()))

    def __contains__(self, item: T) -> bool:
        return any(item in members for members in self._classes.values())

    def add(self, item: T, priority: Priority, *, deadline: float | None = None) -> None:
        """Enter *item* as the last of its class. deadline: See ``expire``; None: it has none."""
        self._classes[priority][item] = None
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, next(self._numbers), item))
            if len(self._deadlines) > 2 * len(self) + 64:  # mostly of those who have left
                self._deadlines = [entry for entry in self._deadlines if entry[2] in self]
                heapq.heapify(self._deadlines)

    @property
    def first(self) -> T | None:
        """The one whose turn it is; None if nobody waits."""
        chosen = self._turn()
        return None if chosen is None else next(iter(self._classes[chosen]))

    def pop(self) -> T | None:
        """Take out the one whose turn it is; None if nobody waits."""
        chosen = self._turn()
        if chosen is None:
            return None
        for priority, members in self._classes.items():
            self._passed[priority] += bool(members) and priority > chosen
        self._passed[chosen] = 0
        return self._classes[chosen].popitem(last=False)[0]

    def discard(self, item: T) -> None:
        """Take out *item*, wherever it stands; nothing if it has left."""
        for members in self._classes.values():
            members.pop(item, None)

    @property
    def next_deadline(self) -> float:
        """The earliest deadline of all who wait; infinite if none has one."""
        while self._deadlines and self._deadlines[0][2] not in self:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    def expire(self, start: float) -> list[T]:
        """Take out all whose deadline lies before *start*, the earliest deadline first."""
        late: list[T] = []
        while self.next_deadline < start:
            item = heapq.heappop(self._deadlines)[2]
            self.discard(item)
            late.append(item)
        return late

    def _turn(self) -> Priority | None:
        """The class whose turn it is."""
        waiting = [priority for priority in Priority if self._classes[priority]]
        impatient = (priority for priority in waiting if self._passed[priority] >= PATIENCE)
        return next(impatient, waiting[0] if waiting else None)
