"""A preset's JMESPath expressions, compiled once and asked without surprises."""

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeGuard

from attrs import asdict, frozen

from leyline.config import OutputConfig

_MOST: Final = 10**9
"""Tokens, requests or dollars above which no prompt can come: such a number is a misreading or a
lie, and to charge it would close the quota for all that follows."""


class _Compiled(Protocol):
    def search(self, value: Any) -> Any: ...


@frozen
class Expressions:
    """Where the parts of a run stand in its document. What is not there is None or empty."""

    compiled: Mapping[str, _Compiled]

    @classmethod
    def compile(cls, output: OutputConfig) -> "Expressions":
        """Compile what *output* gives. Raises jmespath's ParseError if one is wrong."""
        return cls.of(
            {
                name: value
                for name, value in asdict(output, recurse=False).items()
                if value and name not in ("format", "files")
            }
        )

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Expressions":
        """Compile expressions by name. Raises jmespath's ParseError if one is wrong."""
        if not given:
            return cls({})
        import jmespath  # only for tools that answer in JSON

        return cls({name: jmespath.compile(text) for name, text in given.items()})

    def __contains__(self, name: str) -> bool:
        return name in self.compiled

    def value(self, name: str, root: Mapping[str, Any]) -> Any:
        """What the expression *name* finds; None where it is not given or does not fit."""
        expression = self.compiled.get(name)
        if expression is None:
            return None
        try:
            return expression.search(root)
        except (
            ValueError,
            TypeError,
            ArithmeticError,
            LookupError,
            AttributeError,
            RecursionError,
        ):
            return None  # a document of another shape than the tool writes

    def true(self, name: str, root: Mapping[str, Any]) -> bool:
        """Whether the expression *name* says yes."""
        return self.value(name, root) is True

    def text(self, name: str, root: Mapping[str, Any]) -> str:
        """Text; the parts of a list are joined."""
        return _text(self.value(name, root))

    def number(self, name: str, root: Mapping[str, Any]) -> float | None:
        """A number from 0 to a billion, also if it is written as text."""
        return _number(self.value(name, root))

    def count(self, name: str, root: Mapping[str, Any]) -> int | None:
        """A whole number from 0 to a billion."""
        number = self.number(name, root)
        return None if number is None else int(number)


def _text(value: Any) -> str:
    """Text of a string or number, or of a list of them however deep."""
    parts: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
        elif _is_list(item):
            stack.extend(item[::-1])
        elif isinstance(item, int | float) and not isinstance(item, bool):
            parts.append(str(item))
    return "".join(parts)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= _MOST else None
