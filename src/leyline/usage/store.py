"""The store that a name stands for, to write it or to read it."""

import os
from pathlib import Path
from typing import Final, Literal, cast

from leyline.usage.log import UsageLog
from leyline.usage.sink import MemorySink, Sink

MEMORY: Final = ":memory:"
LINES: Final = ".jsonl"
"""How names of files end that hold lines of JSON."""


def default_path() -> Path:
    """The file in the user's state folder that all programs share where nothing else is said."""
    import platformdirs

    return platformdirs.user_state_path("leyline", appauthor=False) / "usage.sqlite3"


def usage_log(
    where: str | os.PathLike[str] | Sink | Literal[False] | None, state: object
) -> UsageLog | None:
    """The log that *where* stands for; None: nothing is written down.

    state: What the registry's quotas are kept in: where nothing is said, the file lies beside it,
    and for a state in memory there is none. Raises TypeError; see ``open_sink``.
    """
    if where is False:
        return None
    if where is None:
        if state == MEMORY:
            return None
        if isinstance(state, str | os.PathLike):
            path = os.fspath(cast("str | os.PathLike[str]", state))
            where = None if "://" in path else Path(path).with_name("usage.sqlite3")
    return UsageLog(open_sink(where))


def open_sink(where: str | os.PathLike[str] | Sink | None, *, keep: float | None = None) -> Sink:
    """The sink that *where* stands for: a path, ``":memory:"``, or a sink. Opens nothing.

    A path that ends in ``.jsonl`` gets lines of JSON, any other is a SQLite file; None: the file in
    the user's state folder. keep: Seconds after which records are deleted from SQLite. None: never.
    Raises TypeError for anything else.
    """
    if where is None:
        where = default_path()
    if not isinstance(where, str | os.PathLike):
        if all(callable(getattr(where, name, None)) for name in ("write", "sync", "close")):
            return where
        raise TypeError(
            f'usage must be a path, ":memory:", or a sink (with write, sync, close); got {where!r}'
        )
    name = os.fsdecode(where)
    if name == MEMORY:
        return MemorySink()
    if name.endswith(LINES):
        from leyline.usage.jsonl import JsonlSink

        return JsonlSink(name)
    from leyline.usage.sqlite import SqliteSink  # sqlite3 is loaded only where it is used

    return SqliteSink(name, keep=keep)
