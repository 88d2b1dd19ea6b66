"""The exact sliding log, kept in sub-buckets: whatever an entry weighs, it costs the same.

An entry counts from its start until a whole window after the end of its bucket. So no window ever
holds more than its limit, and at most one part in ``BUCKETS`` of the limit goes unused.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import define, field

from leyline.limits import DailyReset

BUCKETS: Final = 128
"""Buckets that one window is cut into."""

_UP: Final = 1.0 + sys.float_info.epsilon
"""Makes up for rounding: the beginning of a bucket must not fall into the one before."""

_DAYS_KEPT: Final = 3


def slack(per: float) -> float:
    """Seconds by which a start may come later than booked without being booked again."""
    return max(0.002, min(0.05, per / 100))


@define
class SlidingLog:
    """What was used when, in seconds of one clock.

    span: Seconds for which an entry counts: the window, and by how much starts may be late.
    """

    span: float
    _buckets: dict[int, int] = field(factory=dict[int, int], init=False)  # the oldest first
    _total: int = field(default=0, init=False)

    @property
    def width(self) -> float:
        """Seconds that one bucket is wide."""
        return self.span / BUCKETS

    def taken(self, now: float) -> int:
        """What counts at *now*, including what is booked for later."""
        taken = self._total
        for k, weight in self._buckets.items():
            if self._until(k) > now:
                break
            taken -= weight
        return taken

    def waiting(self, now: float) -> int:
        """What is booked for later than *now*, as far as buckets tell."""
        waiting, here = 0, self._bucket(now)
        for k in reversed(self._buckets):
            if k <= here:
                break
            waiting += self._buckets[k]
        return waiting

    def earliest(self, weight: int, amount: int, start: float) -> float:
        """The first moment from *start* on at which *weight* more fits into *amount*.

        Infinite if it never fits. What is booked for later than that moment counts as well.
        """
        if weight > amount:
            return math.inf
        used = self._total
        for k, freed in self._buckets.items():
            if used + weight <= amount:
                break
            used -= freed
            start = max(start, self._until(k))
        return start

    def has_room(self, weight: int, amount: int, at: float) -> bool:
        """Whether *weight* more fits at *at*, and leaves all that is booked for later as it is."""
        k = self._bucket(at)
        later = [other for other in self._buckets if k < other <= k + BUCKETS]
        return all(self._load(other) + weight <= amount for other in (k, *later))

    def add(self, weight: int, at: float) -> int:
        """Enter *weight* at the moment *at*; returns its bucket."""
        k = self._bucket(at)
        self.change(k, weight)
        return k

    def change(self, k: int, by: int) -> None:
        """Correct what stands in bucket *k*, by no more than stands there."""
        before = self._buckets.get(k, 0)
        after = max(0, before + by)
        self._total += after - before
        if before and not after:
            del self._buckets[k]
        elif after:
            latest = next(reversed(self._buckets), k)
            self._buckets[k] = after
            if k < latest and not before:
                self._buckets = dict(sorted(self._buckets.items()))

    def forget(self, now: float) -> None:
        """Drop what no longer counts."""
        while self._buckets and self._until(k := next(iter(self._buckets))) <= now:
            self._total -= self._buckets.pop(k)

    def frees_at(self, now: float) -> float | None:
        """When the first of what counts at *now* will no longer count; None if nothing does."""
        return next((self._until(k) for k in self._buckets if self._until(k) > now), None)

    def takes(self, span: float) -> bool:
        """Whether it is time to ``move`` to *span*: a longer one at once, a shorter one when empty.

        So two who share a log, one of them with a guard, do not move it to and fro.
        """
        return span > self.span or (span < self.span and not self._buckets)

    def move(self, *, span: float, by: float) -> Callable[[int], int]:
        """Take over what was entered under another span, or *by* seconds earlier by another clock.

        No entry comes to count shorter than before. Returns where each bucket went.
        """
        before, self.span = self.width, span
        width = self.width

        def moved(k: int) -> int:
            return math.ceil(((k + 1) * before + by) / width) - 1

        buckets, self._buckets, self._total = self._buckets, {}, 0
        for k, weight in buckets.items():
            self.change(moved(k), weight)
        return moved

    def _bucket(self, at: float) -> int:
        return math.floor(at / self.width)

    def _load(self, k: int) -> int:
        """What counts at a moment in bucket *k*, of that and of the buckets before it."""
        return sum(weight for other, weight in self._buckets.items() if k - BUCKETS <= other <= k)

    def _until(self, k: int) -> float:
        return (k + 1 + BUCKETS) * self.width * _UP

    def dump(self) -> list[float | int]:
        """As a flat list: the span, then a distance from the last bucket and a weight for each."""
        flat: list[float | int] = [self.span]
        last = 0
        for k, weight in self._buckets.items():
            flat += [k - last, weight]
            last = k
        return flat

    @classmethod
    def load(cls, flat: list[float | int]) -> "SlidingLog":
        """From what ``dump`` gave."""
        log = cls(flat[0])
        k = 0
        for distance, weight in _pairs(flat[1:]):
            k += int(distance)
            log.change(k, int(weight))
        return log


@define
class DayLog:
    """What was used on which calendar day; a day is its number."""

    _used: dict[int, int] = field(factory=dict[int, int])

    def used(self, day: int) -> int:
        """What counts on *day*."""
        return self._used.get(day, 0)

    def earliest(
        self, weight: int, amount: int, at: float, *, reset: DailyReset, late: float
    ) -> float:
        """The first Unix time from *at* on, on whose day *weight* more fits into *amount*.

        Infinite if it never fits. late: Seconds by which a start may come later than that; in
        those before the end of a day there is none, as nobody knows on which it would count.
        """
        if weight > amount:
            return math.inf
        day = reset.day(at)
        if reset.day(at + late) != day:
            at = reset.ends(at)
            day = reset.day(at)
        while self.used(day) + weight > amount:
            at = reset.ends(at)
            day = reset.day(at)
        return at

    def __contains__(self, day: int) -> bool:
        return day in self._used

    def change(self, day: int, by: int) -> None:
        """Correct what stands at *day*, by no more than stands there."""
        self._used[day] = max(0, self.used(day) + by)

    def forget(self, today: int) -> None:
        """Drop what is long over; the last days stay, as the clock may be put back."""
        if len(self._used) > _DAYS_KEPT:
            for day in [day for day in self._used if day < today - _DAYS_KEPT]:
                del self._used[day]

    def dump(self) -> list[tuple[int, int]]:
        """As pairs of a day and what was used on it."""
        return list(self._used.items())

    @classmethod
    def load(cls, pairs: Iterable[tuple[int, int]]) -> "DayLog":
        """From what ``dump`` gave."""
        return cls({int(day): int(used) for day, used in pairs})


def _pairs(flat: list[float | int]) -> Iterator[tuple[float | int, float | int]]:
    return zip(flat[::2], flat[1::2], strict=True)
