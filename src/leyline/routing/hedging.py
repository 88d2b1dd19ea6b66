"""When a service counts as slow, and whether it may be asked beyond the calls of callers."""

import math
from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import frozen

from leyline.calls import Roster
from leyline.clock import Clock

_QUANTILES: Final = {"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99}

Refund = Callable[[], None]
"""Gives back what was paid, as the service was not asked."""


@frozen
class Hedging:
    """What the services of a registry say of it: how long they took, and what they can afford."""

    roster: Roster
    clock: Clock

    def stagger(self, given: float | str) -> Callable[[str], float]:
        """Seconds that each service is left alone, by its name. Raises ValueError.

        given: Seconds for all, or a quantile such as ``p95`` of the recent runs of each.
        """
        if isinstance(given, str):
            if given not in _QUANTILES:
                known = ", ".join(_QUANTILES)
                raise ValueError(f'stagger must be seconds or one of {known}; got "{given}"')
            return partial(self._quantile, _QUANTILES[given])
        if not given >= 0:
            raise ValueError(f"stagger must be zero or more seconds; got {given}")
        return lambda _: given

    def pay(self, name: str) -> Refund | None:
        """Take one from the budget of a service; None: it has no room, or is gone meanwhile."""
        service = self.roster.get(name)
        if service is None:
            return None
        budget, now = service.memory.budget, self.clock.monotonic()
        if budget is None:
            return lambda: None
        return partial(budget.give_back, now) if budget.try_spend(now) else None

    def _quantile(self, part: float, name: str) -> float:
        """Infinite where nothing is known yet: then nobody is slow."""
        service = self.roster.get(name)  # it may be gone meanwhile
        if service is None:
            return math.inf
        known = service.memory.durations.bound(part, self.clock.monotonic())
        return math.inf if known is None else known
