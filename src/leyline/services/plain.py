"""Plain data, as it stands in a configuration file."""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

_LONGEST: Final = 60


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether *value* is a mapping, of whatever."""
    return isinstance(value, Mapping)


def shown(value: Any) -> str:
    """*value* as a user could have written it, at most 60 characters of it."""
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
