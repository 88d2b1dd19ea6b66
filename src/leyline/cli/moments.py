"""Points in time as people write them."""

from datetime import datetime, timedelta

from leyline.cli.exits import CommandLineError


def read_moment(text: str, now: datetime | None = None) -> float:
    """Unix time of *text*: ``07:00`` is the next time that clocks show it here, else ISO 8601.

    Raises CommandLineError for anything else, and for a time that has passed.
    """
    now = now or datetime.now().astimezone()
    try:
        clock = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007  (a time of day has no zone)
    except ValueError:
        return _of_date(text, now).timestamp()
    moment = datetime.combine(now.date(), clock).astimezone()
    if moment <= now:
        moment = datetime.combine(now.date() + timedelta(days=1), clock).astimezone()
    return moment.timestamp()


def _of_date(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise CommandLineError(
            f'"{text}" is no time; write 07:00, or 2026-12-24T18:00 with a date'
        ) from None
    if moment <= now:
        raise CommandLineError(f"{text} has passed already; name a time to come")
    return moment
