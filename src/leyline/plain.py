"""Plain data, as it stands in a configuration file, and how it is spoken of."""

import datetime
import json
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeGuard

_LARGEST: Final = 2**63 - 1
"""What the stores of quotas can count to."""

_LONGEST: Final = 60
_WORDS: Final = {None: "nothing", True: "true", False: "false"}
_PLAIN_KEY: Final = re.compile(r"[^\s:\"'.]+")


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether *value* is a mapping, of whatever."""
    return isinstance(value, Mapping)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether *value* is a number that can be counted with: finite, and not true or false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_LARGEST <= value <= _LARGEST


def shown(value: Any) -> str:
    """*value* as a user could have written it, on one line and never long.

    Lists and mappings are only named: an alias can make a small file an endless one.
    """
    if isinstance(value, str):
        text = printable(json.dumps(value[:_LONGEST], ensure_ascii=False))
        return text if len(value) <= _LONGEST else f"{text[:-1]}…"
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, int):
        return str(value) if is_number(value) else "a number that is too large"
    return f"{value:.15g}" if isinstance(value, float) else _kind(value)


def _kind(value: Any) -> str:
    if is_mapping(value):
        return "a mapping" if value else "{}"
    if isinstance(value, list):
        return "a list" if value else "[]"
    return "a date" if isinstance(value, datetime.date) else f"a {type(value).__name__}"


def at(path: str, key: Any) -> str:
    """The path of *key* below *path*."""
    if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) and key.isprintable():
        return f"{path}.{key}" if path else key
    return f"{path}.{shown(key)}" if path else shown(key)


def suggestion(key: object, known: Collection[str]) -> str:
    """What may have been meant by *key*: the closest of what is *known*, or all of it."""
    close = get_close_matches(key, known, n=1) if isinstance(key, str) else []
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(known)}"


def printable(text: str) -> str:
    """*text* on one line, with whatever cannot be printed escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
