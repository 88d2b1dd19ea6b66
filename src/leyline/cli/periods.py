"""Times as people write them on a command line, and the options that take them."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer

from leyline.cli.exits import CommandLineError

_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_HOW: Final = 'such as 24h, 7d, today, 2026-11-24 or "2026-11-24 18:00"'

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help=f"From then on, {_HOW}.", show_default=False),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Up to then, as --since.", show_default=False),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--file",
        metavar="PATH",
        help="What to read: SQLite, or JSON lines (.jsonl). Default: the user's own.",
        show_default=False,
    ),
]


def age(text: str) -> float | None:
    """Seconds of a length of time such as ``90d``. None: it is none."""
    match = _AGE.fullmatch(text.strip())
    return None if match is None else int(match[1]) * _UNITS[match[2]]


def moment(text: str | None, option: str, now: datetime) -> float | None:
    """Unix time of *text*: so long ago, a day, or a time of it, in the user's own zone.

    Raises CommandLineError, naming the *option*, if it is none.
    """
    if text is None:
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    named = {"today": midnight, "yesterday": midnight - timedelta(days=1)}
    ago = age(text)
    try:
        if ago is not None:
            found = now.timestamp() - ago
        else:
            day = named.get(text.strip().lower()) or datetime.fromisoformat(text.strip())
            found = day.timestamp()
        datetime.fromtimestamp(found).astimezone()  # before the first year there are no dates
    except (ValueError, OverflowError, OSError):
        raise CommandLineError(f'{option}: expected a time {_HOW}; got "{text}"') from None
    return found
