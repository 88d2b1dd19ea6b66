"""How long a service takes, from its own recent runs that went well. Pure: takes the time."""

import math
from bisect import bisect_left
from collections import deque
from itertools import accumulate
from typing import Final

from attrs import define, field

_KEPT: Final = 128
_HALF_LIFE: Final = 600.0
_FORGOTTEN_AFTER: Final = 3600.0
_FEWEST: Final = 5


@define(eq=False)
class Durations:
    """Quantiles of how long recent runs took; one of ten minutes ago counts half as much.

    The last 128 are kept, each for an hour. With fewer than 5 nothing is said.

    Every ``now`` is in monotonic seconds.
    """

    _samples: deque[tuple[float, float]] = field(  # when it was added, and its seconds
        factory=lambda: deque[tuple[float, float]](maxlen=_KEPT), init=False
    )
    _known: dict[float, float | None] = field(factory=dict[float, float | None], init=False)
    _known_until: float = field(default=-math.inf, init=False)

    def add(self, seconds: float, now: float) -> None:
        """A run that went well took *seconds*."""
        self._samples.append((now, seconds))
        self._known_until = -math.inf

    def quantile(self, q: float, now: float) -> float | None:
        """Seconds in which the part *q* of the runs was done (0.5: the median); None: not known."""
        # All weights fade alike, so an answer holds until a run is added or the oldest forgotten.
        if now < self._known_until and q in self._known:
            return self._known[q]
        self._refresh(now)
        answer = self._known[q] = self._work_out(q)
        return answer

    def _refresh(self, now: float) -> None:
        """Drop what is too old, and the answers that it was part of."""
        if now < self._known_until:
            return
        while self._samples and self._samples[0][0] + _FORGOTTEN_AFTER <= now:
            self._samples.popleft()
        self._known.clear()
        self._known_until = self._samples[0][0] + _FORGOTTEN_AFTER if self._samples else math.inf

    def _work_out(self, q: float) -> float | None:
        if len(self._samples) < _FEWEST:
            return None
        newest = self._samples[-1][0]
        ordered = sorted((seconds, at) for at, seconds in self._samples)
        weights = (0.5 ** ((newest - at) / _HALF_LIFE) for _, at in ordered)
        sums = list(accumulate(weights))
        # A hair less, so that rounding in the sums does not lift it to the next run.
        place = bisect_left(sums, sums[-1] * q * (1.0 - 1e-12))
        return ordered[place][0]
