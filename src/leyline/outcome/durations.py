"""Lengths of time as services word them: ``30``, ``10.7s``, ``10h17m5.7s``, ``2 days``."""

import math
import re
from typing import Any, Final

LONGEST: Final = 8 * 86_400.0
"""Seconds; no service's window is longer than a week, so a longer delay is a misreading."""

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_PART: Final = (
    r"(?:\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s{0,2}"
    r"(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
    r"(?![a-z])"
)
# In "10h17m5.7s" a unit is followed by the next number; in words by a blank, comma or "and".
DURATION: Final = rf"{_PART}(?:(?:\s{{0,2}},)?\s{{0,2}}(?:and\s{{1,2}})?{_PART}){{0,5}}"
"""Regular expression of a length with units; for use without regard to case."""

_ONE: Final = re.compile(r"(\d*\.?\d+)\s*([a-z]+)", re.IGNORECASE)
_WHOLE: Final = re.compile(DURATION, re.IGNORECASE)
_PLAIN: Final = re.compile(r"\d{1,12}(?:\.\d{1,12})?")


def parse_duration(value: Any) -> float | None:
    """Seconds, from a number of seconds or from text; None if it is neither, or too long."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _bounded(float(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _PLAIN.fullmatch(text):
        return _bounded(float(text))
    if not _WHOLE.fullmatch(text):
        return None
    return _bounded(sum(float(n) * _SECONDS[_unit(unit)] for n, unit in _ONE.findall(text)))


def _unit(word: str) -> str:
    word = word.lower()
    return "ms" if word.startswith(("ms", "milli")) else word[0]


def _bounded(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0 <= seconds <= LONGEST else None
