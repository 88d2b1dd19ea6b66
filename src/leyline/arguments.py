"""What callers give, refused where it comes in if it has the wrong type: with what to write."""

import inspect
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def listed(given: Iterable[T], name: str) -> tuple[T, ...]:
    """All of *given*; *name* is what the argument is called.

    Raises TypeError for a string or a path, whose letters nobody means, and for what holds no
    items.
    """
    one: object = given  # which need not be what it is declared to be
    if isinstance(one, os.PathLike):
        one = os.fspath(one)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(one, str | bytes):
        raise TypeError(f"{name} must be a list, got {given!r}; write {name}=[{one!r}]")
    if not isinstance(one, Iterable):
        raise TypeError(f"{name} must be a list, got a {type(given).__name__}")
    return tuple(given)


def refuse_async(function: object, name: str, of: str, instead: str) -> None:
    """Raise TypeError unless *function* can be called and is done when it returns.

    name: What the argument is called. of: What it takes. instead: What to do.
    """
    if not callable(function) or _is_async(function):
        raise TypeError(
            f"{name} must be a plain function of one {of}, not async; got {function!r}; {instead}"
        )


def _is_async(function: Callable[..., object]) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))
