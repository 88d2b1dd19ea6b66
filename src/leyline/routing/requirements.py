"""What is asked of a service: from plain data to a frozen value, every problem at once."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, cast

from attrs import define, field, frozen

from leyline.errors import ConfigError
from leyline.plain import at, is_mapping, is_number, shown, suggestion

LARGE_CONTEXT: Final = 200_000
"""Tokens that ``large_context`` asks for: what a whole code base in a prompt begins to need."""


class Strategy(StrEnum):
    """Which of the services that fit comes first; those equal to it in registration order.

    ORDERED: The one registered first.
    FASTEST: The one whose recent runs were shortest; one without any counts as their median.
    MOST_QUOTA: The one with the largest part of its quota left.
    CHEAPEST: The one with the lowest price; one without a known price comes last.
    WEIGHTED: Drawn at random, in proportion to the weights. A weight of zero takes one out.
    """

    ORDERED = "ordered"
    FASTEST = "fastest"
    MOST_QUOTA = "most_quota"
    CHEAPEST = "cheapest"
    WEIGHTED = "weighted"


@frozen(kw_only=True)
class Requirements:
    """What a service has to offer to be chosen, and which of those that do is preferred.

    large_context: At least 200,000 tokens fit into its model. min_context: So many fit.
    fast_response: Prefer the fastest. A wish: it takes no service out.
    code_execution, supports_files, streaming: The tool can do it.
    model: The service offers it, or says nothing of its models. None: whichever.
    max_cost: US dollars per million tokens. An unknown price is over it. None: no limit.
    services: Names to choose from. None: all.
    weights: By name, in place of the services' own.
    strategy: None: ``fastest`` for ``fast_response``, ``weighted`` for weights, else the default.
    """

    large_context: bool = False
    fast_response: bool = False
    code_execution: bool = False
    supports_files: bool = False
    streaming: bool = False
    model: str | None = None
    min_context: int = 0
    max_cost: float | None = None
    services: tuple[str, ...] | None = None
    weights: Mapping[str, float] = MappingProxyType({})
    strategy: Strategy | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> "Requirements":
        """What *given* asks for; None, and what is False or None in it, asks for nothing.

        Raises ConfigError with every problem: unknown names, values of the wrong kind.
        """
        reader, values = _Reader(), dict[str, Any]()
        if given is None:
            return cls()
        if not is_mapping(given):
            words = f"expected a mapping of names to values, got {shown(given)}"
            raise ConfigError((f"requirements: {words}",))
        for key, value in given.items():
            path = at("requirements", key)
            if key not in _READ:
                reader.refuse(path, f"unknown requirement; {suggestion(key, _READ)}")
            elif value is not None and value is not False:
                values[key] = _READ[key](reader, path, value)
        if reader.problems:
            raise ConfigError(tuple(reader.problems))
        return cls(**values)

    def preferred(self, default: Strategy) -> Strategy:
        """The strategy to choose by, where *default* is that of callers who do not care."""
        if self.strategy is not None:
            return self.strategy
        if self.fast_response:
            return Strategy.FASTEST
        return Strategy.WEIGHTED if self.weights else default


def strategy_of(given: object) -> Strategy:
    """The strategy that *given* is, or names. Raises ConfigError."""
    reader = _Reader()
    strategy = reader.strategy("strategy", given)
    if strategy is None:
        raise ConfigError(tuple(reader.problems))
    return strategy


@define
class _Reader:
    """Reads one value after another, and keeps the problems."""

    problems: list[str] = field(factory=list[str])

    def refuse(self, path: str, words: str) -> None:
        self.problems.append(f"{path}: {words}")

    def truth(self, path: str, value: Any) -> bool:
        if value is not True:
            self.refuse(path, f"expected true or false, got {shown(value)}")
        return True

    def name(self, path: str, value: Any) -> str:
        if isinstance(value, str) and value.strip():
            return value
        self.refuse(path, f"expected a name, got {shown(value)}")
        return ""

    def tokens(self, path: str, value: Any) -> int:
        if is_number(value) and value >= 0 and value == int(value):
            return int(value)
        self.refuse(path, f"expected a whole number of tokens, zero or more; got {shown(value)}")
        return 0

    def dollars(self, path: str, value: Any) -> float:
        if is_number(value) and value >= 0:
            return float(value)
        words = "expected US dollars per million tokens, zero or more"
        self.refuse(path, f"{words}; got {shown(value)}")
        return 0.0

    def names(self, path: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            self.refuse(path, f"expected a list of names, got {shown(value)}")
            return ()
        items = enumerate(cast("list[Any]", value))
        return tuple(self.name(f"{path}[{number}]", item) for number, item in items)

    def weights(self, path: str, value: Any) -> Mapping[str, float]:
        found: dict[str, float] = {}
        if not is_mapping(value):
            self.refuse(path, f"expected a mapping of names to numbers, got {shown(value)}")
            return found
        for key, weight in value.items():
            here = at(path, key)
            if is_number(weight) and weight >= 0:
                found[self.name(here, key)] = float(weight)
            else:
                self.refuse(here, f"expected a number, zero or more; got {shown(weight)}")
        return MappingProxyType(found)

    def strategy(self, path: str, value: Any) -> Strategy | None:
        known = [strategy.value for strategy in Strategy]
        if value in known:
            return Strategy(value)
        self.refuse(path, f"unknown strategy {shown(value)}; {suggestion(value, known)}")
        return None


_READ: Final[Mapping[str, Callable[[_Reader, str, Any], Any]]] = {
    "large_context": _Reader.truth,
    "fast_response": _Reader.truth,
    "code_execution": _Reader.truth,
    "supports_files": _Reader.truth,
    "streaming": _Reader.truth,
    "model": _Reader.name,
    "min_context": _Reader.tokens,
    "max_cost": _Reader.dollars,
    "services": _Reader.names,
    "weights": _Reader.weights,
    "strategy": _Reader.strategy,
}
