"""When a service says it will answer again, found in its own words."""

import re
from typing import Any, Final

from attrs import frozen

from leyline.outcome.durations import DURATION, parse_duration
from leyline.outcome.moments import MOMENT, parse_moment

_SEARCHED: Final = 8_000
"""Characters of a message that are searched; a longer one is not a message."""

_BARE: Final = r"\d{1,6}(?:\.\d{1,9})?\b(?![:\w]|\s?[ap]\.?m)"
"""A number of seconds without a unit, which is not the hour of a clock."""

_DELAY: Final = re.compile(
    r"(?:(?:re)?try(?:ing)?(?: again)?|retry[ _-]?after|resets?|wait|available)"
    rf"(?:(?:\s*[:=]\s*|\s+(?:in|after|for)\s+)[\"']?(?P<delay>{DURATION}|{_BARE})"
    rf"|\s+(?P<named>{DURATION}))",
    re.IGNORECASE,
)
_MOMENT: Final = re.compile(
    rf"(?:resets?|try again|retry|available(?: again)?|limit reached|until)"
    rf"(?:\s*[:=|]\s*|\s+(?:at|on|after)\s+|\s+)[\"']?(?P<moment>{MOMENT})",
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
        seconds = find_waiting(retry_after, now).retry_after
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
        parse_moment(moment["moment"], now) if moment else None,
    )
