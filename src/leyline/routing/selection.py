"""Which service: a pure choice among snapshots, and the reasons for it."""

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from random import Random
from typing import Final

from attrs import frozen

from leyline.errors import NoServiceFitsError
from leyline.model import HealthStatus
from leyline.routing.candidate import Candidate, Rule, barrier, beyond_hope, drawback, rules
from leyline.routing.requirements import Requirements, Strategy

_ORDER: Final = attrgetter("order")

_Key = tuple[float, bool, float]
"""Seconds until a start, whether degraded, cost: the smallest is the best."""


@frozen(kw_only=True)
class Verdict:
    """What selection makes of one service.

    eligible: It may be chosen. rank: Its place, from 1. None where it is out.
    score: Over 0 to 1, higher is better: 1 / (1 + cost), where the cost is the place in the order
        of registration, seconds (``fastest``), the part of the quota that is used, US dollars per
        million tokens (0 where unknown), or the draw. It compares those that are equally ready.
        0 where it is out.
    reason: For people. Why it is out; where it is eligible, what puts it after others, or that
        it is tried although it is not usable, because none is. Empty where nothing is the matter.
    until: Seconds from now at which that ends. None: it does not by itself, or nobody knows when.
    """

    name: str
    eligible: bool
    score: float = 0.0
    reason: str = ""
    until: float | None = None
    rank: int | None = None


def select(
    candidates: Iterable[Candidate],
    requirements: Requirements,
    strategy: Strategy = Strategy.ORDERED,
    *,
    rng: Random,
) -> str:
    """The name of the service to use.

    What does not have all that is asked is out, and so is what is known not to be usable. Then
    comes what can start at once before what waits for its quota, the earliest first; the healthy
    (and those not known) before the degraded; and then what *strategy* says, unless
    *requirements* name one. Where all that fit are unhealthy or their breakers open, it is the
    one that comes back first.

    Raises NoServiceFitsError, with the reason of each.
    """
    candidates = tuple(candidates)
    strategy = requirements.preferred(strategy)
    eligible = _eligible(candidates, tuple(rules(requirements, strategy)))
    if not eligible:
        verdicts = explain(candidates, requirements, strategy, rng=rng)
        raise NoServiceFitsError(tuple((verdict.name, verdict.reason) for verdict in verdicts))
    keys = _keys(eligible, requirements, strategy, rng)
    return eligible[min(range(len(eligible)), key=keys.__getitem__)].name


def explain(
    candidates: Iterable[Candidate],
    requirements: Requirements,
    strategy: Strategy = Strategy.ORDERED,
    *,
    rng: Random,
) -> tuple[Verdict, ...]:
    """What ``select`` makes of every candidate: best first, then those out, as registered."""
    candidates = tuple(candidates)
    strategy = requirements.preferred(strategy)
    asked = tuple(rules(requirements, strategy))
    eligible = _eligible(candidates, asked)
    keys = _keys(eligible, requirements, strategy, rng)
    verdicts: list[Verdict] = []
    for rank, place in enumerate(sorted(range(len(eligible)), key=keys.__getitem__), start=1):
        verdicts.append(_accepted(eligible[place], cost=keys[place][2], rank=rank))
    names = {candidate.name for candidate in eligible}
    others = (candidate for candidate in candidates if candidate.name not in names)
    verdicts += (_refused(candidate, asked) for candidate in sorted(others, key=_ORDER))
    return tuple(verdicts)


def _eligible(candidates: Sequence[Candidate], asked: Sequence[Rule]) -> list[Candidate]:
    """Those that may be chosen, in the order of registration."""
    fitting = sorted(candidates, key=_ORDER)
    for rule in asked:
        fitting = list(filter(rule.passes, fitting))
    usable = [
        candidate
        for candidate in fitting
        if candidate.breaker_open_for <= 0
        and candidate.health is not HealthStatus.UNHEALTHY
        and candidate.quota_free_in < math.inf
    ]
    return usable or _likeliest(fitting)


def _likeliest(fitting: Iterable[Candidate]) -> list[Candidate]:
    """The one that comes back first. When a breaker closes is known; when health returns is not."""
    hopeful = (candidate for candidate in fitting if not beyond_hope(candidate))
    best = min(
        hopeful,
        key=lambda c: (c.health is HealthStatus.UNHEALTHY, c.breaker_open_for),
        default=None,
    )
    return [] if best is None else [best]


def _keys(
    eligible: Sequence[Candidate], requirements: Requirements, strategy: Strategy, rng: Random
) -> list[_Key]:
    waits = [max(0.0, candidate.quota_free_in) for candidate in eligible]
    degraded = [candidate.health is HealthStatus.DEGRADED for candidate in eligible]
    return list(zip(waits, degraded, _costs(eligible, requirements, strategy, rng), strict=True))


def _costs(
    eligible: Sequence[Candidate], requirements: Requirements, strategy: Strategy, rng: Random
) -> list[float]:
    """What *strategy* wants least of, for each."""
    match strategy:
        case Strategy.ORDERED:
            return [candidate.order for candidate in eligible]
        case Strategy.FASTEST:
            middle = _median([c.speed for c in eligible if c.speed is not None])
            return [middle if c.speed is None else c.speed for c in eligible]
        case Strategy.MOST_QUOTA:
            return [1.0 - candidate.quota_left for candidate in eligible]
        case Strategy.CHEAPEST:
            return [math.inf if c.price is None else c.price for c in eligible]
        case Strategy.WEIGHTED:
            # Of exponential draws the smallest is that of one with the chance of its rate.
            own = requirements.weights
            return [rng.expovariate(own.get(c.name, c.weight)) for c in eligible]


def _median(values: list[float]) -> float:
    """The middle of *values*; 0 where there are none, which makes all of them equal."""
    values.sort()
    half = len(values) // 2
    return (values[half] + values[~half]) / 2 if values else 0.0


def _accepted(candidate: Candidate, *, cost: float, rank: int) -> Verdict:
    reason, until = barrier(candidate)
    if reason:
        reason = f"tried all the same, because none is usable: {reason}"
    else:
        reason, until = drawback(candidate)
    return Verdict(
        name=candidate.name,
        eligible=True,
        score=1.0 / (1.0 + cost),
        reason=reason,
        until=until,
        rank=rank,
    )


def _refused(candidate: Candidate, asked: Iterable[Rule]) -> Verdict:
    lacks = [rule.why(candidate) for rule in asked if not rule.passes(candidate)]
    reason, until = ("; ".join(lacks), None) if lacks else barrier(candidate)
    return Verdict(name=candidate.name, eligible=False, reason=reason, until=until)
