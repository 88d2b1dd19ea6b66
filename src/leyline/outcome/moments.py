"""Points in time as services word them: epochs, RFC 3339, HTTP dates, clock times with a zone.

A clock time is the next one after *now*; without a zone it is that of this machine, which is what
the tools print.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from leyline.outcome.durations import LONGEST, parse_duration

_EARLIEST: Final = 1_000_000_000.0
"""Unix time (2001) below which a number cannot be meant as an epoch in seconds."""

_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)

_ZONES: Final = {
    "Z": "UTC", "PT": "America/Los_Angeles", "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles", "MT": "America/Denver", "MST": "America/Denver",
    "MDT": "America/Denver", "CT": "America/Chicago", "CST": "America/Chicago",
    "CDT": "America/Chicago", "ET": "America/New_York", "EST": "America/New_York",
    "EDT": "America/New_York",
}  # fmt: skip
"""What American services mean by these; other names are those of the zone database."""

_CLOCK: Final = (
    r"(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?"
    r"(?:,? \d{4})?(?:,| at|, at)? )?"
    r"(?:\d{1,2}:\d{2}(?::\d{2})? ?(?:[ap]\.?m\.?)?|\d{1,2} ?[ap]\.?m\.?)"
)
_ZONE: Final = r"(?: ?\([A-Za-z][A-Za-z0-9_+/-]{0,40}\)| (?:UTC|GMT|[PMCE][SD]?T)\b)?"
_RFC_3339: Final = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?"
_HTTP_DATE: Final = r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT"

DATE: Final = rf"(?:{_RFC_3339}{_ZONE}|{_HTTP_DATE})"
"""Regular expression of a point in time that names its day; for use without regard to case."""

MOMENT: Final = rf"(?:{DATE}|{_CLOCK}{_ZONE}|\d{{10}}(?:\d{{3}})?\b)"
"""Regular expression of a point in time; for use without regard to case."""

_DATED: Final = re.compile(
    rf"(?P<moment>{_RFC_3339})(?: ?\(?(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*)\)?)?", re.IGNORECASE
)
_PARTS: Final = re.compile(
    r"(?:(?P<month>[a-z]{3})[a-z]*\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>\d{4}))?"
    r"(?:,| at|, at)? )?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}))? ?(?:(?P<half>[ap])\.?m\.?)?"
    r"(?: ?\(?(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*)\)?)?",
    re.IGNORECASE,
)


def parse_moment(value: Any, now: float, *, local: tzinfo | None = None) -> float | None:
    """Unix time, from an epoch (seconds or milliseconds), a length from now, or text.

    local: The zone of times that name none. None: this machine's.
    None if it is not understood, or is later than any window of a service can end.
    """
    moment = _parse(value, now, local)
    return moment if moment is not None and moment <= now + LONGEST else None


def _parse(value: Any, now: float, local: tzinfo | None) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _epoch(value, now)
    if not isinstance(value, str):
        return None
    text = " ".join(value.split())
    if re.fullmatch(r"\d{1,16}(?:\.\d{1,9})?", text):
        return _epoch(float(text), now)
    seconds = parse_duration(text)
    if seconds is not None:
        return now + seconds
    return _rfc_3339(text, local) or _http_date(text) or _clock_time(text, now, local)


def _epoch(number: float, now: float) -> float | None:
    if number > (now + LONGEST) * 1000:
        return None  # and perhaps an integer too large for a float
    if number >= _EARLIEST * 1000:
        return number / 1000
    if number >= _EARLIEST:
        return float(number)
    seconds = parse_duration(number)
    return None if seconds is None else now + seconds


def _rfc_3339(text: str, local: tzinfo | None) -> float | None:
    parts = _DATED.fullmatch(text)
    if parts is None:
        return None
    zone = local
    if parts["zone"]:
        zone = _zone(parts["zone"])
        if zone is None:
            return None
    try:
        return _timestamp(datetime.fromisoformat(parts["moment"]), zone)
    except (ValueError, OverflowError, OSError):
        return None


def _http_date(text: str) -> float | None:
    if not re.fullmatch(_HTTP_DATE, text):
        return None
    from email.utils import parsedate_to_datetime  # slow to load, and seldom needed

    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _clock_time(text: str, now: float, local: tzinfo | None) -> float | None:
    parts = _PARTS.fullmatch(text)
    if parts is None or not (parts["minute"] or parts["half"]):
        return None
    zone = local
    if parts["zone"]:
        zone = _zone(parts["zone"])
        if zone is None:
            return None
    try:
        today = datetime.fromtimestamp(now, zone)
        return _next(parts, today.replace(tzinfo=None), now, zone)
    except (ValueError, OverflowError, OSError):
        return None  # "25:99pm", the 31st of February, a clock far out of range


def _next(parts: re.Match[str], today: datetime, now: float, zone: tzinfo | None) -> float:
    hour = int(parts["hour"])
    if parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
    moment = today.replace(
        hour=hour, minute=int(parts["minute"] or 0), second=int(parts["second"] or 0), microsecond=0
    )
    if not parts["month"]:
        # A minute of grace: "resets 5pm", printed at 17:00:20, is not tomorrow.
        if _timestamp(moment, zone) < now - 60:
            moment += timedelta(days=1)
        return _timestamp(moment, zone)
    month = _MONTHS.index(parts["month"].lower()) + 1
    year = int(parts["year"] or today.year)
    moment = moment.replace(year=year, month=month, day=int(parts["day"]))
    if not parts["year"] and moment < today - timedelta(days=180):
        moment = moment.replace(year=year + 1)
    return _timestamp(moment, zone)


def _zone(name: str) -> tzinfo | None:
    key = _ZONES.get(name.upper(), name)
    if key.upper() in ("UTC", "GMT"):
        return UTC
    try:
        return ZoneInfo(key)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return None
    except KeyError:
        return None


def _timestamp(moment: datetime, zone: tzinfo | None) -> float:
    """Unix time; a moment without a zone is in *zone*, or in this machine's."""
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()
