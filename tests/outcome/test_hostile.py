"""A run has an outcome, whatever the tool wrote: an exception would say that nothing ran."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from leyline.config import OutputConfig, OutputFormat, ServiceConfig
from leyline.model import Completed, FailureKind
from leyline.outcome import Outcome, OutcomeReader, StreamReader
from leyline.outcome.document import read_document
from leyline.services import preset_names, resolve

NOW = 1_800_000_000.0
HUGE = 10**400
DEEP = "[" * 20_000 + "]" * 20_000

NUMBERS = "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens"
EVERYWHERE = OutputConfig(
    format=OutputFormat.JSON,
    error_message="out.x || out",
    error_status="out.x",
    error_code="out.x",
    retry_after="out.x",
    until="out.y",
    requests="out.x",
    cost_usd="out.x",
    text="out.x",
    model="out.x",
    **dict.fromkeys(NUMBERS, "out.x"),
)


def read(config: ServiceConfig, stdout: str, stderr: str = "") -> Outcome:
    completed = Completed(
        exit_code=1,
        stdout=stdout.encode("utf-8", "surrogatepass"),
        stderr=stderr.encode("utf-8", "surrogatepass"),
        duration=1.0,
    )
    return OutcomeReader(config).read(completed, prompt="x", model=None, now=NOW)


def surrogates() -> st.SearchStrategy[str]:
    return st.text(st.characters(categories=["Cs", "L", "Nd"]), max_size=4)


VALUES = st.recursive(
    st.integers(-HUGE, HUGE)
    | st.sampled_from([HUGE, -HUGE, 2**63, 1e300, float("nan"), float("inf"), -0.0, True, None])
    | st.sampled_from(["0001-01-01T00:00:00", "9999-12-31T23:59:59Z", "9" * 40, "1e999", "NaN"])
    | surrogates()
    | st.text("0123456789:.,-+TZapm ()hsdw", max_size=30),
    lambda value: st.lists(value, max_size=3) | st.dictionaries(surrogates(), value, max_size=3),
    max_leaves=6,
)


@given(VALUES, VALUES, st.booleans())
@example(HUGE, HUGE, False)
@example("0001-01-01T00:00:00", "0001-01-01T00:00:00", False)
def test_no_value_where_a_preset_looks_breaks_the_reader(x: Any, y: Any, escaped: bool):
    for status in (429, x):
        document = {"x": x, "y": y, "status": status}
        output = evolve(EVERYWHERE, error_status="out.status")
        config = ServiceConfig("svc", "svc", output=output)
        outcome = read(config, json.dumps(document, ensure_ascii=escaped))
        assert outcome.failure
        usage = outcome.usage
        assert max(usage.input_tokens, usage.requests, usage.cost_usd or 0) <= 10**9


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("said", [DEEP, "[" * 900 + "]" * 900, DEEP[:20_000], "9" * 5000, "NaN"])
def test_no_document_breaks_the_reader_of_a_preset(name: str, said: str):
    config = resolve(ServiceConfig(name, name, preset=name))
    for stdout in (
        said,
        f'{{"type": "result", "result": {said}, "error": {said}}}',
        f"{{}}\n{said}",
    ):
        assert read(config, stdout, stdout).failure
        assert read(config.streamed(), stdout, stdout).failure


def test_a_reset_at_the_end_of_all_days_is_none_said():
    event = {"status": "rejected", "resetsAt": HUGE}
    lines = (
        {"type": "rate_limit_event", "rate_limit_info": event},
        {"type": "result", "is_error": True, "api_error_status": 429, "result": "hit your limit"},
    )
    stdout = "\n".join(map(json.dumps, lines))
    failure = read(resolve(ServiceConfig("claude", "claude")), stdout).failure
    assert failure
    assert (failure.kind, failure.until) == (FailureKind.QUOTA_EXHAUSTED, None)


@pytest.mark.parametrize("number", [10**9 + 1, 10**18, 1e300, HUGE])
def test_a_number_that_no_prompt_can_use_is_not_charged(number: float):
    usage = read(ServiceConfig("s", "s", output=EVERYWHERE), json.dumps({"x": number})).usage
    assert (usage.measured, usage.total_tokens, usage.requests) == (False, 0, 1)
    assert usage.cost_usd is None


def test_the_most_that_a_prompt_can_use_is_charged():
    usage = read(ServiceConfig("s", "s", output=EVERYWHERE), json.dumps({"x": 10**9})).usage
    assert (usage.measured, usage.total_tokens, usage.requests) == (True, 10**9, 10**9)


def test_lines_that_only_look_like_documents_are_not_tried_without_end():
    stdout = "{x}\n" * 100_000 + "{}"
    document = read_document(stdout, "", {}, OutputFormat.JSONL)
    assert (document.root["out"], document.whole) == ([], False)


def test_noise_of_any_length_before_a_document_is_none():
    stdout = "{\nnoise\n[\n" * 20_000 + '{"a": 1}'
    document = read_document(stdout, "", {}, OutputFormat.JSONL)
    assert (document.root["out"], document.whole) == ([{"a": 1}], True)


def test_white_space_in_small_pieces_is_put_together_once():
    """Copied at each piece, it would take a minute."""
    reader = StreamReader(ServiceConfig("svc", "svc"))
    pieces = [piece for _ in range(250_000) for piece in reader.feed(b" " * 16)]
    assert pieces == []
    assert reader.feed(b"x") == [" " * 4_000_000 + "x"]
