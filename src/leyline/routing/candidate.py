"""One service as selection sees it, and what may stand in its way."""

import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

from attrs import frozen

from leyline.model import HealthStatus
from leyline.routing.requirements import LARGE_CONTEXT, Requirements, Strategy
from leyline.wording import one_line

_MODELS: Final = 5
"""Models of a service that a reason names."""


@frozen(kw_only=True)
class Candidate:
    """A snapshot of one service.

    order: Its place in the order of registration.
    models: What it offers. Empty: any. max_context: Tokens that fit into the model.
    supports_files, supports_streaming, code_execution: What the tool can do.
    health, health_reason: What is believed of it. installed: Whether its command was found;
        None: not known.
    breaker_open_for: Seconds until its breaker lets a call through, or, while one is trying, until
        it is worth asking again: 0 where it is closed, infinity where the service is disabled.
        breaker_reason: Why.
    quota_left: Part of its tightest limit that is free, 0 to 1; 1 where it has none.
    quota_free_in: Seconds until a start is possible: 0 now, infinity never.
    speed: Seconds that its recent runs took, as their median. None: unknown.
    price: US dollars per million tokens, input and output blended. None: unknown, which is not
        zero.
    weight: Its part of the draw of ``weighted``.
    """

    name: str
    order: int
    models: tuple[str, ...] = ()
    max_context: int
    supports_files: bool
    supports_streaming: bool
    code_execution: bool
    health: HealthStatus = HealthStatus.UNKNOWN
    health_reason: str = ""
    installed: bool | None = None
    breaker_open_for: float = 0.0
    breaker_reason: str = ""
    quota_left: float = 1.0
    quota_free_in: float = 0.0
    speed: float | None = None
    price: float | None = None
    weight: float = 1.0


@frozen
class Rule:
    """One thing that is asked. passes: Whether a service has it. why: Words for one without."""

    passes: Callable[[Candidate], object]
    why: Callable[[Candidate], str]


_FILES: Final = Rule(attrgetter("supports_files"), lambda _: "it takes no files (supports_files)")
_STREAMING: Final = Rule(
    attrgetter("supports_streaming"), lambda _: "it does not stream (streaming)"
)
_CODE: Final = Rule(attrgetter("code_execution"), lambda _: "it executes no code (code_execution)")


def rules(asked: Requirements, strategy: Strategy) -> Iterator[Rule]:
    """What *asked* and *strategy* take a service out for; nothing for what is not asked."""
    if asked.services is not None:
        chosen = frozenset(asked.services)
        yield Rule(
            lambda c: c.name in chosen, lambda _: "it is not one of those asked for (services)"
        )
    if asked.model is not None:
        yield _model(asked.model)
    if asked.large_context:
        yield _context(LARGE_CONTEXT, "large_context")
    if asked.min_context:
        yield _context(asked.min_context, "min_context")
    if asked.supports_files:
        yield _FILES
    if asked.streaming:
        yield _STREAMING
    if asked.code_execution:
        yield _CODE
    if asked.max_cost is not None:
        yield _price(asked.max_cost)
    if strategy is Strategy.WEIGHTED:
        yield Rule(lambda c: asked.weights.get(c.name, c.weight) > 0, lambda _: "its weight is 0")


def _model(model: str) -> Rule:
    def why(candidate: Candidate) -> str:
        offered = [one_line(name, 60) for name in candidate.models[:_MODELS]]
        more = ", …" if len(candidate.models) > _MODELS else ""
        return f"it offers {', '.join(offered)}{more}, not {one_line(model, 60)} (model)"

    return Rule(lambda c: not c.models or model in c.models, why)


def _context(tokens: int, requirement: str) -> Rule:
    return Rule(
        lambda c: c.max_context >= tokens,
        lambda c: f"{c.max_context:,} tokens fit into it, not {tokens:,} ({requirement})",
    )


def _price(most: float) -> Rule:
    def why(candidate: Candidate) -> str:
        if candidate.price is None:
            return f"its price is not known, so it may be over ${most:g} (max_cost)"
        return f"it costs ${candidate.price:g} per million tokens, over ${most:g} (max_cost)"

    return Rule(lambda c: c.price is not None and c.price <= most, why)


def barrier(candidate: Candidate) -> tuple[str, float | None]:
    """What keeps a service that has all that is asked from being used, and for how many seconds.

    Nothing: no words. None: it does not end by itself, or nobody knows when.
    """
    if math.isinf(candidate.breaker_open_for):
        return _because("disabled", candidate.breaker_reason), None
    if candidate.health is HealthStatus.UNHEALTHY:
        return _because("unhealthy", candidate.health_reason), None
    if math.isinf(candidate.quota_free_in):
        return "its quota never has room for it", None
    if candidate.breaker_open_for > 0:
        words = f"its breaker is open for {candidate.breaker_open_for:.1f} s"
        return _because(words, candidate.breaker_reason), candidate.breaker_open_for
    return "", None


def drawback(candidate: Candidate) -> tuple[str, float | None]:
    """Why a service that can be used comes after others, and for how many seconds."""
    words: list[str] = []
    until = None
    if candidate.quota_free_in > 0:
        until = candidate.quota_free_in
        words.append(f"its quota has room in {until:.1f} s")
    if candidate.health is HealthStatus.DEGRADED:
        words.append(_because("degraded", candidate.health_reason))
    return "; ".join(words), until


def beyond_hope(candidate: Candidate) -> bool:
    """Whether trying it although it is out could not help: nothing would start."""
    missing = candidate.health is HealthStatus.UNHEALTHY and candidate.installed is False
    return missing or math.inf in {candidate.breaker_open_for, candidate.quota_free_in}


def _because(what: str, reason: str) -> str:
    return f"{what}: {one_line(reason)}" if reason else what
