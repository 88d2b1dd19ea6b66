"""When a service is checked next. Pure."""

from random import Random
from typing import Final

from attrs import define, field
from attrs.validators import and_, ge, gt, lt

_BACKOFF_FIRST: Final = 5.0
_BACKOFF_MAX: Final = 200.0
"""With the jitter and a check that hangs still under the 300 s after which the board forgets, so
that a service known to be down does not become unknown, and usable, between two checks."""


@define(kw_only=True)
class Schedule:
    """The delays between the checks of one service.

    interval: Seconds from the end of a check to the start of the next, while it goes well.
    jitter: Part of each delay by which it varies, so that services do not move in step.
    rng: Where the variation comes from.
    """

    interval: float = field(validator=gt(0.0))
    jitter: float = field(default=0.2, validator=and_(ge(0.0), lt(1.0)))
    rng: Random
    _failures: int = field(default=0, init=False)

    def first(self) -> float:
        """Seconds before the first check: soon, but not all services at once."""
        return self.rng.uniform(0.0, self.jitter * self.interval)

    def after(self, *, usable: bool) -> float:
        """Seconds before the next check: 5 after the first failure, doubling up to 200."""
        if usable:
            self._failures = 0
            delay = self.interval
        else:
            first = min(_BACKOFF_FIRST, self.interval)
            delay = min(first * 2.0 ** min(self._failures, 16), _BACKOFF_MAX)
            self._failures += 1
        return delay * self.rng.uniform(1.0 - self.jitter, 1.0 + self.jitter)
