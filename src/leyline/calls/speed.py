"""How long a service takes, from its own recent runs that went well. Pure: takes the time."""

import math
from collections import deque
from typing import Final

from attrs import define, field

_KEPT: Final = 128
_HALF_LIFE: Final = 600.0
_FORGOTTEN_AFTER: Final = 3600.0
_FEWEST: Final = 5


@define(eq=False)
class Durations:
    """Quantiles of how long recent runs took; one of ten minutes ago counts half as much.

    The last 128 are kept, each for an hour. With fewer than 5 that were done nothing is said.
    One that was cancelled would have taken longer than it did: its weight is shared out among
    those that took longer (Kaplan and Meier's estimate); where there are none, it is the longest.

    Every ``now`` is in monotonic seconds.
    """

    _samples: deque[tuple[float, float, bool]] = field(  # when added, its seconds, whether done
        factory=lambda: deque[tuple[float, float, bool]](maxlen=_KEPT), init=False
    )
    _known: dict[float, float | None] = field(factory=dict[float, float | None], init=False)
    _known_until: float = field(default=-math.inf, init=False)

    def add(self, seconds: float, now: float, *, done: bool = True) -> None:
        """A run that went well took *seconds*; not *done*: it was cancelled after them."""
        self._samples.append((now, seconds, done))
        self._known_until = -math.inf

    def quantile(self, q: float, now: float) -> float | None:
        """Seconds in which the part *q* of the runs was done (0.5: the median); None: not known."""
        # All weights fade alike, so an answer holds until a run is added or the oldest forgotten.
        if now < self._known_until and q in self._known:
            return self._known[q]
        self._refresh(now)
        answer = self._known[q] = self._work_out(q)
        return answer

    def bound(self, q: float, now: float) -> float | None:
        """Seconds in which the next run is done with a chance of *q*, as far as that is known.

        A little more than the quantile: of 19 runs, the longest is what 1 of 20 is longer than.
        """
        if not self._samples:
            return None
        newest = self._samples[-1][0]
        total = sum(0.5 ** ((newest - at) / _HALF_LIFE) for at, _, _ in self._samples)
        return self.quantile(min(1.0, q * (1.0 + 1.0 / total)), now)

    def _refresh(self, now: float) -> None:
        """Drop what is too old, and the answers that it was part of."""
        if now < self._known_until:
            return
        while self._samples and self._samples[0][0] + _FORGOTTEN_AFTER <= now:
            self._samples.popleft()
        self._known.clear()
        self._known_until = self._samples[0][0] + _FORGOTTEN_AFTER if self._samples else math.inf

    def _work_out(self, q: float) -> float | None:
        if sum(done for _, _, done in self._samples) < _FEWEST:
            return None
        newest = self._samples[-1][0]
        # At the same length, those that were done before those that would have taken longer.
        ordered = sorted((seconds, not done, at) for at, seconds, done in self._samples)
        weights = [0.5 ** ((newest - at) / _HALF_LIFE) for _, _, at in ordered]
        ahead, over = sum(weights), 1.0  # the weight of this one and all longer; the part over it
        for (seconds, cancelled, _), weight in zip(ordered, weights, strict=True):
            if not cancelled:
                over *= max(0.0, 1.0 - weight / ahead)
            # A hair more, so that rounding does not lift it to the next run.
            if not cancelled and over <= 1.0 - q * (1.0 - 1e-12):
                return seconds
            ahead -= weight
        return ordered[-1][0]
