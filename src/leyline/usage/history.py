"""How use went over time: what plots show, worked out from samples. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Final

from attrs import frozen

from leyline.limits import Limit, Weight
from leyline.usage.summary import Sample

_PARTS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@frozen(kw_only=True)
class Latency:
    """Seconds that the successful runs of a service took: quantiles, and how many they were."""

    service: str
    runs: int
    p05: float
    p25: float
    p50: float
    p75: float
    p95: float


@frozen(kw_only=True)
class DailyCost:
    """US dollars of one service on one day of the user's zone, as far as known.

    reported: By the tool. estimated: By a list of prices, beside them.
    """

    day: date
    service: str
    reported: float
    estimated: float


def edges(since: float, until: float, bins: int) -> list[float]:
    """The moments between which a time is cut into equal *bins*."""
    width = (until - since) / bins
    return [since + number * width for number in range(bins)] + [until]


def use_of_limit(samples: Iterable[Sample], limit: Limit, moments: Sequence[float]) -> list[float]:
    """The part of *limit* that was used at the fullest moment of each bin between *moments*.

    samples: Of all services that share the limit, in the order of time, beginning as long before
        the first bin as the limit reaches.
    """
    use, shares = _Use(limit), list[float]()
    ran = iter([(s.at, _weight(s).of(limit.measure)) for s in samples if not s.refused])
    event = next(ran, None)
    for start, end in pairwise(moments):
        while event is not None and event[0] < start:
            use.add(*event)
            event = next(ran, None)
        fullest = use.at(start)
        while event is not None and event[0] < end:
            fullest = max(fullest, use.add(*event))
            event = next(ran, None)
        shares.append(fullest / limit.amount)
    return shares


def latencies(samples: Iterable[Sample]) -> list[Latency]:
    """Of each service that answered, the quickest first."""
    seconds: dict[str, list[float]] = {}
    for sample in samples:
        if sample.success:
            seconds.setdefault(sample.service, []).append(sample.duration)
    found = [_latency(service, sorted(took)) for service, took in seconds.items()]
    return sorted(found, key=lambda latency: latency.p50)


def daily_costs(samples: Iterable[Sample]) -> list[DailyCost]:
    """Of each day and service on which something of a known price ran, in their order."""
    dollars: dict[tuple[date, str], list[float]] = {}
    for sample in samples:
        if sample.dollars is not None and not sample.refused:
            day = datetime.fromtimestamp(sample.at).astimezone().date()
            sums = dollars.setdefault((day, sample.service), [0.0, 0.0])
            sums[sample.estimated] += sample.dollars
    return [
        DailyCost(day=day, service=service, reported=reported, estimated=estimated)
        for (day, service), (reported, estimated) in sorted(dollars.items())
    ]


class _Use:
    """What is used of one limit, in its window or calendar day."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._total = 0
        self._within: deque[tuple[float, int]] = deque()
        self._day: int | None = None

    def at(self, moment: float) -> int:
        """What is used at *moment*, which is never earlier than the last."""
        if self._limit.reset is not None:
            day = self._limit.reset.day(moment)
            if day != self._day:
                self._day, self._total = day, 0
            return self._total
        while self._within and self._within[0][0] <= moment - self._limit.per:
            self._total -= self._within.popleft()[1]
        return self._total

    def add(self, moment: float, amount: int) -> int:
        """*amount* is used at *moment*; returns what is used then."""
        self.at(moment)
        if self._limit.reset is None:
            self._within.append((moment, amount))
        self._total += amount
        return self._total


def _weight(sample: Sample) -> Weight:
    return Weight(
        requests=max(0, sample.requests),
        input_tokens=max(0, sample.input_tokens),
        output_tokens=max(0, sample.output_tokens),
    )


def _latency(service: str, ordered: Sequence[float]) -> Latency:
    last = len(ordered) - 1
    p05, p25, p50, p75, p95 = (ordered[round(part * last)] for part in _PARTS)
    return Latency(service=service, runs=len(ordered), p05=p05, p25=p25, p50=p50, p75=p75, p95=p95)
