"""OpenTelemetry: what happens in a registry, as spans. Needs the extra ``otel``."""

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from leyline.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    CallFinished,
    CallStarted,
    Event,
    FailedOver,
    HealthChanged,
    HedgeStarted,
    QuotaLevelChanged,
    RetryScheduled,
)
from leyline.model import ExecutionResult

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

_PROVIDERS: Final = MappingProxyType(
    {"claude": "anthropic", "codex": "openai", "gemini": "gcp.gemini", "vibe": "mistral_ai"}
)
"""What the conventions call the providers behind known tools."""

_PASSING: Final[Mapping[type[Event], tuple[str, ...]]] = {
    RetryScheduled: ("attempt", "delay"),
    HedgeStarted: ("after",),
    FailedOver: ("origin",),
    BreakerChanged: ("before", "after"),
    HealthChanged: ("before", "after"),
    QuotaLevelChanged: ("account", "before", "after"),
}
"""What is a moment and no span, and what is told of it. Reasons are not: a tool wrote them, and may
have quoted the prompt."""


class OpenTelemetry:
    """A hook for ``on_event`` that makes each call a span, with its attempts as children.

    A call is an internal span ``leyline.execute`` (``leyline.race``, …), and a child of the span
    that is current where it is made. An attempt is a client span ``chat {model}`` by the semantic
    conventions for generative AI, one for each process, so that tokens are counted once and each
    counts for who used them. Retries, hedges, failovers, and what the call changed of breaker,
    quota and health are events of the call's span, named ``leyline.retry_scheduled`` and so on.
    Errors are named by ``error.type``: the kind of a failure (``rate_limited``), or the class of
    the exception. What was cancelled, such as the loser of a race, is no error but has
    ``leyline.cancelled``.

    No prompt and no answer is in any span, nor the tool's words for a failure.
    One hook can serve several registries of one event loop.
    """

    def __init__(
        self,
        tracer_provider: "TracerProvider | None" = None,
        *,
        providers: Mapping[str, str] | None = None,
    ) -> None:
        """tracer_provider: Whose spans they are. None: the global one.
        providers: ``gen_ai.provider.name`` by service, where it is not the service's name or one
            of those known.

        Raises ModuleNotFoundError, with what to install, without the OpenTelemetry API.
        """
        try:
            from opentelemetry import trace
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "leyline.telemetry needs the OpenTelemetry API, which is not installed: "
                "pip install 'leyline-registry[otel]'"
            ) from None
        self._trace = trace
        self._tracer = trace.get_tracer("leyline", tracer_provider=tracer_provider)
        self._providers = {**_PROVIDERS, **(providers or {})}
        self._calls: dict[str, tuple[Span, Context]] = {}
        self._attempts: dict[int, Span] = {}
        self._call = ContextVar("leyline.call", default="")  # the one that is under way here

    def __call__(self, event: Event) -> None:
        """Take *event* in. Only what is under way is kept."""
        match event:
            case CallStarted():
                self._start_call(event)
            case AttemptStarted():
                self._start_attempt(event)
            case CallFinished() if event.call in self._calls:
                self._end(self._calls.pop(event.call)[0], event)
            case AttemptFinished() if event.id in self._attempts:
                self._end(self._attempts.pop(event.id), event)
            case _:
                self._note(event)

    def _start_call(self, event: CallStarted) -> None:
        attributes = {"leyline.operation": event.operation, "leyline.call": event.call}
        if event.service:
            attributes["leyline.service"] = event.service
        span = self._tracer.start_span(
            f"leyline.{event.operation}", attributes=attributes, start_time=_nanoseconds(event)
        )
        self._calls[event.call] = span, self._trace.set_span_in_context(span)
        self._call.set(event.call)

    def _start_attempt(self, event: AttemptStarted) -> None:
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._providers.get(event.service, event.service),
            "leyline.service": event.service,
            "leyline.attempt": event.attempt,
        }
        if event.model is not None:
            attributes["gen_ai.request.model"] = event.model
        _, context = self._calls.get(event.call, (None, None))
        self._attempts[event.id] = self._tracer.start_span(
            "chat" if event.model is None else f"chat {event.model}",
            context=context,
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
            start_time=_nanoseconds(event),
        )

    def _end(self, span: "Span", event: CallFinished | AttemptFinished) -> None:
        if event.result is not None and isinstance(event, AttemptFinished):
            span.set_attributes(dict(_said(event.result)))
        elif event.result is not None:
            span.set_attribute("leyline.service", event.result.service)
        if event.error is not None and not isinstance(event.error, Exception):
            span.set_attribute("leyline.cancelled", True)
        elif kind := _error_type(event):
            span.set_attribute("error.type", kind)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(_nanoseconds(event))

    def _note(self, event: Event) -> None:
        """Write *event* into the span of its call; a change without one is in no span."""
        told = _PASSING.get(type(event))
        found = self._calls.get(getattr(event, "call", "") or self._call.get())
        if told is None or found is None:
            return
        attributes = {f"leyline.{name}": getattr(event, name) for name in told}
        found[0].add_event(
            f"leyline.{_snake(type(event).__name__)}",
            {"leyline.service": event.service, **attributes},
            _nanoseconds(event),
        )


def _said(result: ExecutionResult) -> Iterator[tuple[str, Any]]:
    """What a process said of itself. Tokens that were only estimated are not among it."""
    if result.model is not None:
        yield "gen_ai.response.model", result.model
    yield "process.exit.code", result.exit_code
    if result.pid is not None:
        yield "process.pid", result.pid
    usage = result.usage
    if usage.measured:
        yield "gen_ai.usage.input_tokens", usage.input_tokens
        yield "gen_ai.usage.output_tokens", usage.output_tokens
        yield "gen_ai.usage.cache_read.input_tokens", usage.cached_tokens
    if usage.cost_usd is not None:
        yield "leyline.cost_usd", usage.cost_usd


def _error_type(event: CallFinished | AttemptFinished) -> str:
    """What went wrong, in one word of which there are few; empty: nothing."""
    if event.error is not None:
        return type(event.error).__name__
    failure = None if event.result is None else event.result.failure
    return "" if failure is None else failure.kind


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


def _nanoseconds(event: Event) -> int:
    return round(event.at * 1e9)
