"""What may be used in how long: limits as frozen values, and what one call weighs."""

import functools
from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from attrs import field, frozen
from attrs.validators import ge, gt

_DAY: Final = 86_400.0


class Measure(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


class QuotaLevel(StrEnum):
    """Healthy below 80 % used, warning up to 95 %, critical above or while it is closed."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"


_WARNING: Final = 0.80
_CRITICAL: Final = 0.95


def level_of(share: float) -> QuotaLevel:
    """The level of a limit of which the part *share* is used."""
    if share > _CRITICAL:
        return QuotaLevel.CRITICAL
    return QuotaLevel.WARNING if share >= _WARNING else QuotaLevel.HEALTHY


@frozen(kw_only=True)
class Weight:
    """What one call takes of a quota: requests to the model, and tokens."""

    requests: int = field(default=1, validator=ge(0))
    input_tokens: int = field(default=0, validator=ge(0))
    output_tokens: int = field(default=0, validator=ge(0))

    def of(self, measure: Measure) -> int:
        """What a limit of *measure* counts of it."""
        match measure:
            case Measure.REQUESTS:
                return self.requests
            case Measure.TOKENS:
                return self.input_tokens + self.output_tokens
            case Measure.INPUT_TOKENS:
                return self.input_tokens
            case Measure.OUTPUT_TOKENS:
                return self.output_tokens


@frozen(kw_only=True)
class DailyReset:
    """When a calendar day of a quota begins: at *hour* o'clock in *zone*, also on the two days of
    a year on which clocks change there."""

    zone: str = "UTC"
    hour: int = 0

    def day(self, wall: float) -> int:
        """The number of the day that Unix time *wall* lies in; later it is never less."""
        day = _day_by_clock(self, wall)
        while wall >= _begin(self, day + 1):  # it has begun, and then the clock was put back
            day += 1
        return day

    def ends(self, wall: float) -> float:
        """Unix time at which the day that *wall* lies in is over."""
        return _begin(self, self.day(wall) + 1)


def _day_by_clock(reset: DailyReset, wall: float) -> int:
    """The day that the clock shows at *wall*, with its hour taken for midnight."""
    local = datetime.fromtimestamp(wall, ZoneInfo(reset.zone)).replace(tzinfo=None)
    return (local - timedelta(hours=reset.hour)).toordinal()


@functools.lru_cache(maxsize=256)
def _begin(reset: DailyReset, day: int) -> float:
    """Unix time at which the clock first shows the *day*, or a later one."""
    zone = ZoneInfo(reset.zone)
    begin = datetime.fromordinal(day).replace(hour=reset.hour, tzinfo=zone)
    first, other = begin.timestamp(), begin.replace(fold=1).timestamp()
    if first <= other:
        return first
    # The clock never shows that hour: it is put forward, past it, in between.
    seconds = range(int(other), int(first))
    return other + bisect_left(seconds, day, key=functools.partial(_day_by_clock, reset))


@frozen(kw_only=True)
class Limit:
    """At most *amount* of *measure* in every window of *per* seconds, wherever it begins.

    name: What it is called in messages, such as ``rpm``.
    reset: Count in calendar days instead; *per* is then a day.
    guard: Seconds by which starts may arrive bunched at the service; added to the window.
    """

    name: str
    measure: Measure
    amount: int = field(validator=gt(0))
    per: float = field(validator=gt(0))
    reset: DailyReset | None = None
    guard: float = field(default=0.0, validator=ge(0))


_NAMED: Final[Mapping[str, tuple[Measure, float]]] = {
    "rpm": (Measure.REQUESTS, 60.0),
    "rpd": (Measure.REQUESTS, _DAY),
    "tpm": (Measure.TOKENS, 60.0),
    "tpd": (Measure.TOKENS, _DAY),
}
"""The limits that have names of their own."""


def named_limit(
    name: str, amount: int, *, reset: DailyReset | None = None, guard: float = 0.0
) -> Limit:
    """The limit ``rpm``, ``rpd``, ``tpm`` or ``tpd``; *reset* for those of a day.

    ``daily`` is another word for ``rpd``, and becomes it.
    """
    name = "rpd" if name == "daily" else name  # one name, as services of a pool share it
    measure, per = _NAMED[name]
    return Limit(
        name=name,
        measure=measure,
        amount=amount,
        per=per,
        reset=reset if per == _DAY else None,
        guard=guard,
    )
