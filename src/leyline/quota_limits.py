"""What ``quota_limits`` of a service means: from plain data to limits, every problem at once."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar, cast
from zoneinfo import ZoneInfo, available_timezones

from attrs import define, field, frozen

from leyline.limits import DailyReset, Limit, Measure, named_limit
from leyline.plain import at, is_mapping, is_number, shown, suggestion

T = TypeVar("T")

Problem = tuple[str, str]
"""Where below ``quota_limits`` (``.windows[0].per``), and what is wrong there."""

_NAMED: Final = ("rpm", "rpd", "daily", "tpm", "tpd")
_KNOWN: Final = (*_NAMED, "concurrent", "windows", "reset", "burst", "guard", "pool", "dry_run")
_MEASURES: Final = tuple(measure.value for measure in Measure)
_DAY: Final = 86_400.0
_UNITS: Final = {"d": _DAY, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([smhd])")


@frozen(kw_only=True)
class QuotaLimits:
    """How much may be used of a service.

    limits: Each holds on its own. concurrent: Runs at the same time. None: no limit.
    burst: Calls that may start at once before they are spread out. None: as the limits allow.
    pool: Name of the account, where several services share one. None: the service's own.
    dry_run: Count and report, but hold nothing back.
    """

    limits: tuple[Limit, ...] = ()
    concurrent: int | None = None
    burst: int | None = None
    pool: str | None = None
    dry_run: bool = False


def read_quota_limits(given: Mapping[str, Any]) -> tuple[QuotaLimits, list[Problem]]:
    """What *given* means, and every problem with it; what has a problem is left out.

    rpm, rpd (or daily), tpm, tpd: Requests and tokens in any 60 seconds or 24 hours.
    windows: A list of others, each one amount of ``requests``, ``tokens``, ``input_tokens`` or
        ``output_tokens`` and ``per``: seconds, or text such as ``15m``, ``5h`` or ``7d``.
    reset: ``zone`` (IANA; else UTC) and ``hour`` (else 0) at which a day begins; makes calendar
        days of all limits of one day.
    guard: Seconds by which starts may arrive bunched at the service; zero where unsaid.
    concurrent, burst, pool, dry_run: See ``QuotaLimits``.
    """
    reader = _Reader()
    for key in given:
        if key not in _KNOWN:
            reader.refuse(_below("", key), f"unknown limit; {suggestion(key, _KNOWN)}")
    if "rpd" in given and "daily" in given:
        reader.refuse(".daily", "is another name for rpd; give only one of them")
    reset = _said(given, "reset", reader.reset)
    guard = _said(given, "guard", reader.guard) or 0.0
    limits = [
        named_limit(name, amount, reset=reset, guard=guard)
        for name in _NAMED
        if (amount := _said(given, name, reader.amount))
    ]
    windows = _said(given, "windows", reader.windows) or []
    limits += [window.limit(reset, guard) for window in windows]
    value = QuotaLimits(
        limits=tuple(limits),
        concurrent=_said(given, "concurrent", reader.amount),
        burst=_said(given, "burst", reader.amount),
        pool=_said(given, "pool", reader.pool),
        dry_run=_said(given, "dry_run", reader.truth) or False,
    )
    return value, reader.problems


def _said(given: Mapping[str, Any], key: str, read: Callable[[str, Any], T | None]) -> T | None:
    """What *given* says under *key*; None where it says nothing, or nothing of use."""
    return read(f".{key}", given[key]) if key in given else None


@frozen
class _Window:
    measure: Measure
    amount: int
    per: float

    @property
    def name(self) -> str:
        return f"{self.measure} per {_written(self.per)}"

    def limit(self, reset: DailyReset | None, guard: float) -> Limit:
        return Limit(
            name=self.name,
            measure=self.measure,
            amount=self.amount,
            per=self.per,
            reset=reset if self.per == _DAY else None,
            guard=guard,
        )


@define
class _Reader:
    """Reads one value after another, and keeps the problems."""

    problems: list[Problem] = field(factory=list[Problem])

    def refuse(self, path: str, words: str) -> None:
        self.problems.append((path, words))

    def amount(self, path: str, value: Any) -> int | None:
        """A positive whole number; 1e6 is one too."""
        if not is_number(value) or value <= 0:
            self.refuse(path, f"expected a positive number, got {shown(value)}")
        elif value != int(value):
            self.refuse(path, f"expected a whole number, got {shown(value)}")
        else:
            return int(value)
        return None

    def guard(self, path: str, value: Any) -> float | None:
        if is_number(value) and value >= 0:
            return float(value)
        self.refuse(path, f"expected seconds, zero or more; got {shown(value)}")
        return None

    def pool(self, path: str, value: Any) -> str | None:
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        self.refuse(path, f"expected a name, got {shown(value)}")
        return None

    def truth(self, path: str, value: Any) -> bool | None:
        if isinstance(value, bool):
            return value
        self.refuse(path, f"expected true or false, got {shown(value)}")
        return None

    def reset(self, path: str, value: Any) -> DailyReset | None:
        if not is_mapping(value):
            self.refuse(path, f"expected a mapping, got {shown(value)}")
            return None
        before = len(self.problems)
        self._unknown_keys(path, value, ("zone", "hour"))
        zone, hour = value.get("zone", "UTC"), value.get("hour", 0)
        if problem := _zone_problem(zone):
            self.refuse(f"{path}.zone", problem)
        if not is_number(hour) or hour not in range(24):
            self.refuse(f"{path}.hour", f"expected a whole number from 0 to 23, got {shown(hour)}")
        if len(self.problems) > before:
            return None
        return DailyReset(zone=zone, hour=int(hour))

    def windows(self, path: str, value: Any) -> list[_Window] | None:
        if not isinstance(value, list | tuple):
            self.refuse(path, f"expected a list, got {shown(value)}")
            return None
        found: dict[str, _Window] = {}
        for number, item in enumerate(cast("list[Any]", value)):
            here = f"{path}[{number}]"
            window = self._window(here, item)
            if window is None:
                continue
            if window.name in found:  # an account knows its limits by name
                self.refuse(here, f'"{window.name}" is given above; give only one of them')
            else:
                found[window.name] = window
        return list(found.values())

    def _window(self, path: str, value: Any) -> _Window | None:
        if not is_mapping(value):
            self.refuse(path, f"expected a mapping, got {shown(value)}")
            return None
        self._unknown_keys(path, value, (*_MEASURES, "per"))
        measures = [name for name in _MEASURES if name in value]
        amounts = [self.amount(f"{path}.{name}", value[name]) for name in measures]
        if len(measures) != 1:
            got = " and ".join(measures) or "none"
            self.refuse(path, f"expected exactly one of {', '.join(_MEASURES)}; got {got}")
        per = self._per(f"{path}.per", value)
        if per is None or len(amounts) != 1 or amounts[0] is None:
            return None
        return _Window(Measure(measures[0]), amounts[0], per)

    def _per(self, path: str, window: Mapping[Any, Any]) -> float | None:
        """Seconds of the window."""
        if "per" not in window:
            self.refuse(path, 'is missing; give seconds, or text such as "5h"')
            return None
        value = seconds = window["per"]
        if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
            seconds = float(match[1]) * _UNITS[match[2]]
        if is_number(seconds) and seconds > 0:
            return float(seconds)
        examples = '"2s", "15m", "5h" or "7d"'
        self.refuse(path, f"expected seconds or text such as {examples}, got {shown(value)}")
        return None

    def _unknown_keys(self, path: str, value: Mapping[Any, Any], known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self.refuse(_below(path, key), f"unknown key; {suggestion(key, known)}")


def _below(path: str, key: object) -> str:
    return f"{path}.{at('', key)}"


def _zone_problem(zone: Any) -> str | None:
    """What is wrong with the name of a time zone."""
    if isinstance(zone, str):
        try:
            ZoneInfo(zone)
        except (LookupError, ValueError, OSError):
            pass
        else:
            return None
        if close := get_close_matches(zone[:100], available_timezones(), n=1):
            return f'unknown time zone {shown(zone)}; did you mean "{close[0]}"?'
    return f"expected a time zone such as America/Los_Angeles or UTC, got {shown(zone)}"


def _written(seconds: float) -> str:
    """*seconds* in the largest unit of which they are a whole number: one name for one window."""
    for unit, length in _UNITS.items():
        if seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds!r}s"
