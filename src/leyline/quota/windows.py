"""The exact sliding log, kept in sub-buckets: whatever an entry weighs, it costs the same.

An entry counts from its start until a whole window after the end of its bucket. So no window ever
holds more than its limit, and at most one part in ``BUCKETS`` of the limit goes unused.
"""

import math
from collections.abc import Iterator
from typing import Final

from attrs import define, field

BUCKETS: Final = 128
"""Buckets that one window is cut into."""


def slack(per: float) -> float:
    """Seconds by which a start may come later than booked without being booked again."""
    return max(0.002, min(0.05, per / 100))


@define
class SlidingLog:
    """What was used when, in seconds of one clock.

    span: Seconds for which an entry counts: the window, and by how much starts may be late.
    """

    span: float
    _buckets: dict[int, int] = field(factory=dict[int, int])

    @property
    def width(self) -> float:
        """Seconds that one bucket is wide."""
        return self.span / BUCKETS

    def used(self, now: float) -> int:
        """What counts at *now*, including what is booked for later."""
        return sum(weight for k, weight in self._buckets.items() if self._until(k) > now)

    def earliest(self, weight: int, amount: int, start: float) -> float:
        """The first moment from *start* on at which *weight* more fits into *amount*.

        Infinite if it never fits. Nothing may be booked later than the moment that is taken.
        """
        if weight > amount:
            return math.inf
        used = self.used(start)
        if used + weight <= amount:
            return start
        for k in sorted(self._buckets):
            until = self._until(k)
            if until > start:
                used -= self._buckets[k]
                if used + weight <= amount:
                    return until
        return start

    def add(self, weight: int, at: float) -> int:
        """Enter *weight* at the moment *at*; returns its bucket."""
        k = math.floor(at / self.width)
        if weight:
            self._buckets[k] = self._buckets.get(k, 0) + weight
        return k

    def change(self, k: int, by: int) -> None:
        """Correct what stands in bucket *k*; one that has passed is left alone."""
        if k in self._buckets or by > 0:
            weight = self._buckets.get(k, 0) + by
            if weight > 0:
                self._buckets[k] = weight
            else:
                self._buckets.pop(k, None)

    def forget(self, now: float) -> None:
        """Drop what no longer counts."""
        for k in [k for k in self._buckets if self._until(k) <= now]:
            del self._buckets[k]

    def frees_at(self, now: float) -> float | None:
        """When the first of what counts at *now* will no longer count; None if nothing does."""
        return min((self._until(k) for k in self._buckets if self._until(k) > now), default=None)

    def shift(self, by: float) -> None:
        """Move everything *by* seconds, never to an earlier bucket: the clock was another one."""
        self._move(by, self.width)

    def fit(self, span: float) -> None:
        """Take over what was entered under another *span*, each entry as late as it may be."""
        if span != self.span:
            before, self.span = self.width, span
            self._move(0.0, before)

    def _move(self, by: float, width: float) -> None:
        moved: dict[int, int] = {}
        for k, weight in self._buckets.items():
            to = math.ceil(((k + 1) * width + by) / self.width) - 1
            moved[to] = moved.get(to, 0) + weight
        self._buckets = moved

    def _until(self, k: int) -> float:
        return (k + 1) * self.width + self.span

    def dump(self) -> list[float | int]:
        """As a flat list: the span, then for each bucket its distance from the last and its weight."""
        flat: list[float | int] = [self.span]
        last = 0
        for k in sorted(self._buckets):
            flat += [k - last, self._buckets[k]]
            last = k
        return flat

    @classmethod
    def load(cls, flat: list[float | int]) -> "SlidingLog":
        """From what ``dump`` gave."""
        log = cls(flat[0])
        k = 0
        for distance, weight in _pairs(flat[1:]):
            k += int(distance)
            log._buckets[k] = int(weight)
        return log


def _pairs(flat: list[float | int]) -> Iterator[tuple[float | int, float | int]]:
    return zip(flat[::2], flat[1::2], strict=True)
