"""Calls as spans, held against the real SDK and live processes."""

import subprocess
import sys

import anyio
import pytest
from attrs import evolve
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from leyline import (
    BreakerPolicy,
    Call,
    CommandNotFoundError,
    OutputConfig,
    OutputFormat,
    RetryPolicy,
    ServiceConfig,
    ServiceRegistry,
)
from leyline.telemetry import OpenTelemetry

pytestmark = pytest.mark.anyio

ANSWER = (
    '{"text": "a confidential answer", "model": "big-2", "in": 11, "out": 7, "cached": 3, '
    '"cost": 0.25}'
)


class Spans:
    """The SDK with all spans in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hook = OpenTelemetry(self.provider)

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def calls(self) -> list[ReadableSpan]:
        return [span for span in self.finished if span.name.startswith("leyline.")]

    def attempts(self) -> list[ReadableSpan]:
        return [span for span in self.finished if span.kind is SpanKind.CLIENT]

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [s for s in self.finished if s.parent and s.parent.span_id == parent.context.span_id]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def shell(script: str, **fields: object) -> ServiceConfig:
    fields.setdefault("retry", None)
    return ServiceConfig("svc", "/bin/sh", command_template=f"{{command}} -c '{script}'", **fields)


def registry_of(spans: Spans, **configs: ServiceConfig) -> ServiceRegistry:
    registry = ServiceRegistry(":memory:", on_event=spans.hook)
    for name, config in configs.items():
        registry.register(name, config)
    return registry


def reporting(**fields: object) -> ServiceConfig:
    """A service that says what it used."""
    return ServiceConfig(
        "svc",
        "/bin/sh",
        command_template="{command} -c 'echo \"$ANSWER\"' {model}",
        env={"ANSWER": ANSWER},
        output=OutputConfig(
            format=OutputFormat.JSON,
            text="out.text",
            model="out.model",
            input_tokens="out.in",
            output_tokens="out.out",
            cached_tokens="out.cached",
            cost_usd="out.cost",
        ),
        **fields,
    )


async def test_a_call_is_a_span_in_that_of_its_caller_with_its_attempts_as_children(spans: Spans):
    async with registry_of(spans, svc=shell("echo hi")) as registry:
        with spans.provider.get_tracer("test").start_as_current_span("mine") as mine:
            await registry.execute("svc", "hello")
            with spans.provider.get_tracer("test").start_as_current_span("later") as later:
                pass
    (call,) = spans.calls()
    (attempt,) = spans.children(call)
    assert call.parent == mine.get_span_context()
    assert later.parent == mine.get_span_context()
    assert (call.name, call.kind) == ("leyline.execute", SpanKind.INTERNAL)
    assert (attempt.name, attempt.kind) == ("chat", SpanKind.CLIENT)
    assert call.start_time <= attempt.start_time < attempt.end_time <= call.end_time
    assert {span.status.status_code for span in spans.finished} == {StatusCode.UNSET}


async def test_an_attempt_says_what_the_conventions_ask_for(spans: Spans):
    async with registry_of(spans, gemini=reporting()) as registry:
        result = await registry.execute("gemini", "hello", model="big")
    assert result.success, result
    (attempt,) = spans.attempts()
    assert attempt.name == "chat big"
    assert dict(attempt.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "big",
        "gen_ai.response.model": "big-2",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "leyline.service": "gemini",
        "leyline.attempt": 1,
        "leyline.cost_usd": 0.25,
        "process.exit.code": 0,
        "process.pid": result.pid,
    }
    (call,) = spans.calls()
    assert not any(name.startswith("gen_ai.") for name in call.attributes)
    assert call.attributes["leyline.service"] == "gemini"


async def test_the_provider_is_what_the_user_says_else_the_service(spans: Spans):
    spans.hook = OpenTelemetry(spans.provider, providers={"one": "openai"})
    async with registry_of(spans, one=shell("echo hi"), two=shell("echo hi")) as registry:
        await registry.execute("one", "hello")
        await registry.execute("two", "hello")
    providers = [attempt.attributes["gen_ai.provider.name"] for attempt in spans.attempts()]
    assert providers == ["openai", "two"]


async def test_tokens_that_were_estimated_are_not_told_as_used(spans: Spans):
    async with registry_of(spans, svc=shell("echo hi")) as registry:
        assert (await registry.execute("svc", "hello")).tokens_used > 0
    assert not any("usage" in name for name in spans.attempts()[0].attributes)


async def test_no_prompt_and_no_answer_is_in_any_span(spans: Spans):
    configs = {
        # What a tool says when it fails may be what it was asked.
        "loud": shell("cat >&2; exit 7", retry=RetryPolicy(attempts=2, base=0.0)),
        "good": reporting(),
    }
    async with registry_of(spans, **configs) as registry:
        result = await registry.execute("loud", "a confidential prompt")
        assert "confidential" in result.failure.message
        await registry.execute_with_failover("a confidential prompt")
        await registry.race("a confidential prompt", ["loud", "good"], stagger=600)
    assert len(spans.calls()) == 3
    assert "confidential" not in "".join(span.to_json() for span in spans.finished)


async def test_a_failure_is_an_error_of_its_kind(spans: Spans):
    async with registry_of(spans, svc=shell("exit 7")) as registry:
        await registry.execute("svc", "hello")
    for span in spans.finished:
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "crashed"
    assert spans.attempts()[0].attributes["process.exit.code"] == 7


async def test_an_exception_is_an_error_of_its_class(spans: Spans):
    async with registry_of(spans, svc=ServiceConfig("svc", "no-such-tool")) as registry:
        with pytest.raises(CommandNotFoundError):
            await registry.execute("svc", "hello")
    types = [span.attributes["error.type"] for span in spans.finished]
    assert types == ["CommandNotFoundError"] * 2


async def test_what_happens_meanwhile_is_an_event_of_the_call(spans: Spans):
    retry = RetryPolicy(attempts=2, base=0.0)
    breaker = BreakerPolicy(consecutive=2)
    bad = shell("exit 7", retry=retry, breaker=breaker, quota_limits={"rpm": 2})
    async with registry_of(spans, bad=bad) as registry:
        await registry.execute("bad", "hello")
    (call,) = spans.calls()
    events = {event.name: dict(event.attributes) for event in call.events}
    retried = events["leyline.retry_scheduled"]
    assert (retried["leyline.service"], retried["leyline.attempt"]) == ("bad", 1)
    assert events["leyline.breaker_changed"] == {
        "leyline.service": "bad", "leyline.before": "closed", "leyline.after": "open",
    }  # fmt: skip
    assert events["leyline.quota_level_changed"]["leyline.after"] == "critical"
    assert len(spans.children(call)) == 2
    assert all(call.start_time <= event.timestamp <= call.end_time for event in call.events)


async def test_failovers_and_hedges_are_events_of_the_call(spans: Spans):
    configs = {"slow": shell("sleep 600"), "bad": shell("exit 7"), "good": shell("echo hi")}
    async with registry_of(spans, **configs) as registry:
        await registry.execute_with_failover("hello", services=["bad", "good"])
        await registry.race("hello", ["slow", "good"], stagger=0.05)
    cascade, race = spans.calls()
    (move,) = [e for e in cascade.events if e.name == "leyline.failed_over"]
    assert dict(move.attributes) == {"leyline.service": "good", "leyline.origin": "bad"}
    assert cascade.status.status_code is StatusCode.UNSET
    (hedge,) = [e for e in race.events if e.name == "leyline.hedge_started"]
    assert hedge.attributes["leyline.service"] == "good"
    assert hedge.attributes["leyline.after"] >= 0.05


async def test_losers_are_children_of_their_race_and_no_errors(spans: Spans):
    async with registry_of(spans, slow=shell("sleep 600"), good=shell("echo hi")) as registry:
        await registry.race("hello", ["slow", "slow", "good"])
    (call,) = spans.calls()
    children = spans.children(call)
    assert len(children) == 3
    losers = [span for span in children if span.attributes["leyline.service"] == "slow"]
    assert len(losers) == 2
    for span in losers:
        assert span.attributes["leyline.cancelled"] is True
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in span.attributes


async def test_spans_end_when_the_caller_is_cancelled_and_nothing_is_kept(spans: Spans):
    configs = {"one": shell("sleep 600"), "two": shell("sleep 600")}
    async with registry_of(spans, **configs) as registry:
        with anyio.move_on_after(0.2):
            await registry.execute("one", "hello")
        with anyio.move_on_after(0.2):
            await registry.race("hello", ["one", "two"])
    assert len(spans.calls()) == 2
    assert len(spans.attempts()) == 3
    assert all(span.attributes["leyline.cancelled"] for span in spans.finished)
    assert not spans.hook._calls
    assert not spans.hook._attempts


async def test_calls_side_by_side_keep_their_own_events(spans: Spans):
    bad = shell("exit 7", retry=RetryPolicy(attempts=2, base=0.0), breaker=None)
    configs = {f"svc{number}": bad for number in range(8)}
    async with registry_of(spans, **configs) as registry:
        await registry.execute_parallel(list(configs), "hello")
    assert len(spans.calls()) == 8
    for call in spans.calls():
        told = [*spans.children(call), *call.events]
        assert len(spans.children(call)) == 2
        services = {one.attributes["leyline.service"] for one in told}
        assert services == {call.attributes["leyline.service"]}


async def test_a_call_that_is_mapped_more_than_once_has_a_span_each_time(spans: Spans):
    call = Call(prompt="hello")
    calls = [call, call, evolve(call, prompt="a copy"), Call(prompt="another")]
    async with registry_of(spans, svc=shell("sleep 0.1; echo hi")) as registry:
        items = [item async for item in registry.map(calls, concurrency=4, ordered=True)]
    assert items[0].call.id == call.id
    ids = [item.call.id for item in items]
    assert len(set(ids)) == 4
    assert sorted(span.attributes["leyline.call"] for span in spans.calls()) == sorted(ids)
    assert all(len(spans.children(span)) == 1 for span in spans.calls())
    assert not spans.hook._calls


async def test_a_change_that_no_call_brought_about_is_in_no_span(spans: Spans):
    async with registry_of(spans, svc=shell("echo hi")) as registry:
        registry.register("gone", ServiceConfig("gone", "no-such-tool"))
        await registry.execute("svc", "hello")
        await registry.health_check("gone")
    (call,) = spans.calls()
    assert "gone" not in call.to_json()


async def test_the_prompt_of_a_health_check_is_an_attempt_of_its_own(spans: Spans):
    async with registry_of(spans, svc=shell("echo ok")) as registry:
        assert await registry.health_check("svc", live=True)
    (attempt,) = spans.finished
    assert (attempt.name, attempt.parent) == ("chat", None)


def test_without_the_api_it_says_what_to_install():
    program = """
import sys
sys.modules["opentelemetry"] = None
import leyline.telemetry
try:
    leyline.telemetry.OpenTelemetry()
except ModuleNotFoundError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "pip install 'leyline-registry[otel]'" in said


def test_without_a_provider_the_global_one_is_used():
    OpenTelemetry()
