"""When a service says it will answer again, found in its own words."""

import re
from typing import Any, Final

from attrs import frozen

from leyline.outcome.durations import DURATION, NUMBER, parse_duration
from leyline.outcome.moments import DATE, MOMENT, parse_moment

_SEARCHED: Final = 8_000
"""Characters of a message that are searched; a longer one is not a message."""

_BARE: Final = (
    rf"{NUMBER}(?!\d|[.,:]\d|[-/%]|[ \t]?[-\u2013/][ \t]?\d|[ \t]\d"
    r"|[ \t]?(?!(?:or|and|before|please)\b)[a-z])"
)
"""A number of seconds without a unit: not the hour of a clock, the year of a date, the start of a
range, nor of a unit, whatever it is called."""

_DELAY: Final = re.compile(
    r"(?:(?:re)?try(?:ing)?(?: again)?|retry[ _-]?after|resets?|wait|available)"
    rf"(?:(?:[\"']?\s*[:=]\s*|\s+(?:in|after|for)\s+)[\"']?(?P<delay>{DURATION}|{_BARE})"
    rf"|\s+(?P<named>{DURATION}))",
    re.IGNORECASE,
)
_MOMENT: Final = re.compile(
    r"(?:resets?|try again|retry|available(?: again)?|limit reached|until)"
    r"(?:(?:[\s_-]?(?:at|on))?[\"']?\s*[:=|]\s*|\s+(?:at|on|after)\s+|\s+)"
    rf"[\"']?(?P<moment>{MOMENT})"
    # What stands in that header without a day, such as "00:05:00", is no time of the day.
    rf"|retry[ _-]?after[\"']?\s*[:=]\s*[\"']?(?P<date>{DATE})",
    re.IGNORECASE,
)


@frozen
class Waiting:
    """retry_after: Seconds from the end of the run. until: Unix time. None: not said."""

    retry_after: float | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self.retry_after is not None or self.until is not None


def read_waiting(retry_after: Any, until: Any, now: float) -> Waiting:
    """From values that stand where a preset says; text is read as far as it is understood."""
    seconds = parse_duration(retry_after)
    moment = parse_moment(until, now)
    if seconds is None and isinstance(retry_after, str):
        found = find_waiting(f"retry-after: {retry_after}", now)  # a header may hold a date, too
        seconds = found.retry_after
        moment = found.until if moment is None else moment
    if moment is None and isinstance(until, str):
        moment = find_waiting(until, now).until
    return Waiting(seconds, moment)


def find_waiting(message: str, now: float) -> Waiting:
    """From the usual wordings: "retry in 10.7s", "resets 7pm (Asia/Tokyo)", "try again at …"."""
    message = message[:_SEARCHED]
    delay = _DELAY.search(message)
    moment = _MOMENT.search(message)
    return Waiting(
        parse_duration(delay["delay"] or delay["named"]) if delay else None,
        parse_moment(moment["moment"] or moment["date"], now) if moment else None,
    )
