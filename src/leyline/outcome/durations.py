"""Lengths of time as services word them: ``30``, ``10.7s``, ``10h17m5.7s``, ``2 days``."""

import re
from typing import Any, Final

LONGEST: Final = 8 * 86_400.0
"""Seconds; no service's window is longer than a week, so a longer delay is a misreading."""

_SECONDS: Final = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0,
}  # fmt: skip

NUMBER: Final = r"(?:\d{1,3}(?:,\d{3}){1,3}|\d{1,12})(?:\.\d{1,12})?"
"""Regular expression of a number as people write it: ``1,800.5``."""

_PART: Final = (
    rf"(?:{NUMBER}|\.\d{{1,9}})\s{{0,2}}(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m"
    r"|hours?|hrs?|h|days?|d|weeks?|wks?|w)(?![a-z])"
)
# In "10h17m5.7s" a unit is followed by the next number; in words by a blank, comma or "and".
DURATION: Final = rf"{_PART}(?:(?:\s{{0,2}},)?\s{{0,2}}(?:and\s{{1,2}})?{_PART}){{0,5}}"
"""Regular expression of a length with units; for use without regard to case."""

_ONE: Final = re.compile(r"(\d*\.?\d+)\s*([a-z]+)", re.IGNORECASE)
_WHOLE: Final = re.compile(DURATION, re.IGNORECASE)
_PLAIN: Final = re.compile(NUMBER)


def parse_duration(value: Any) -> float | None:
    """Seconds, from a number of seconds or from text; None if it is neither, or too long."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _bounded(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _PLAIN.fullmatch(text):
        return _bounded(float(text.replace(",", "")))
    if not _WHOLE.fullmatch(text):
        return None
    text = text.replace(",", "")
    return _bounded(sum(float(n) * _SECONDS[_unit(unit)] for n, unit in _ONE.findall(text)))


def _unit(word: str) -> str:
    word = word.lower()
    return "ms" if word.startswith(("ms", "milli")) else word[0]


def _bounded(seconds: float) -> float | None:
    """Compared before it is made a float: an integer of a tool may be too large to be one."""
    return float(seconds) if 0 <= seconds <= LONGEST else None
