"""What the tools write, read with the presets that are shipped."""

import json
import re

import pytest

from leyline.config import ServiceConfig
from leyline.model import Completed, FailureKind, Usage
from leyline.outcome import Outcome, OutcomeReader
from leyline.services import preset_names, resolve
from tests.outcome import recorded as r
from tests.outcome.recorded import Run
from tests.outcome.recorded_answers import ANSWERS, TEXT, quoting
from tests.outcome.recorded_failures import FAILURES

NOW = 1_795_454_000.0  # 24 November 2026, in the morning


def preset(name: str) -> ServiceConfig:
    return resolve(ServiceConfig(name, name, preset=name))


def read(name: str, run: Run) -> Outcome:
    completed = Completed(
        exit_code=run.exit_code,
        stdout=run.stdout.encode(),
        stderr=run.stderr.encode(),
        files={name: json.dumps(content).encode() for name, content in run.files.items()},
        duration=1.0,
    )
    return OutcomeReader(preset(name)).read(completed, prompt="Hello", model=None, now=NOW)


def kind_of(name: str, run: Run) -> FailureKind | None:
    failure = read(name, run).failure
    return failure.kind if failure else None


@pytest.mark.parametrize(
    ("name", "kind", "run"),
    [
        pytest.param(name, kind, run, id=f"{name}-{kind}-{number}")
        for name, samples in FAILURES.items()
        for number, (kind, run) in enumerate(samples)
    ],
)
def test_every_failure_has_its_kind(name: str, kind: FailureKind, run: Run):
    outcome = read(name, run)
    assert outcome.failure
    assert outcome.failure.kind is kind, outcome.failure
    assert outcome.failure.message
    assert outcome.text == ""


@pytest.mark.parametrize("name", preset_names())
def test_every_kind_that_a_preset_can_tell_is_shown_by_a_sample(name: str):
    config = preset(name)
    told = {pattern.kind for pattern in config.error_patterns} | set(config.exit_codes.values())
    assert told <= {kind for kind, _ in FAILURES[name]}


@pytest.mark.parametrize("name", preset_names())
def test_every_pattern_of_a_preset_is_seen_in_a_sample(name: str):
    """One that is not would be a guess."""
    config = preset(name)
    for number, pattern in enumerate(config.error_patterns):
        said = [
            run.stdout + run.stderr + json.dumps(run.files)
            for kind, run in FAILURES[name]
            if kind is pattern.kind
        ]
        searchable = pattern.match.replace("^", "").replace("$", "")
        assert any(re.search(searchable, text, re.IGNORECASE) for text in said), (number, pattern)


@pytest.mark.parametrize("name", preset_names())
def test_an_answer_is_found_and_counted(name: str):
    run, usage, model = ANSWERS[name]
    outcome = read(name, run)
    assert outcome.failure is None
    assert outcome.text == TEXT
    assert outcome.usage == usage
    assert outcome.model == model


@pytest.mark.parametrize("name", preset_names())
def test_an_answer_that_talks_about_errors_is_an_answer(name: str):
    run, _, _ = ANSWERS[name]
    outcome = read(name, quoting(run))
    assert outcome.failure is None
    assert "429" in outcome.text


def test_gemini_says_when_to_come_back():
    for run in (
        r.gemini(r.GEMINI_MINUTE, 429),
        r.gemini(
            "You have exhausted your daily quota on this model.",
            429,
            noise="TerminalQuotaError: no more\n  cause: {\n 'Please retry in 10.7s.'",
        ),
    ):
        failure = read("gemini", run).failure
        assert failure
        assert failure.retry_after == 10.7


def test_claude_says_when_its_window_opens():
    event = FAILURES["claude"][3][1]  # its message names no time
    failure = read("claude", event).failure
    assert failure
    assert failure.until == 1_795_454_701


def test_codex_says_when_its_window_opens():
    failure = read("codex", r.codex(r.CODEX_PLAN)).failure
    assert failure
    assert failure.until
    assert NOW < failure.until <= NOW + 86_400
    assert failure.until % 60 == 0


def test_opencode_passes_the_header_on():
    run = r.opencode("no", 429, headers={"retry-after": "3"})
    failure = read("opencode", run).failure
    assert failure
    assert failure.retry_after == 3.0


def test_a_run_that_failed_before_the_model_is_not_counted_as_measured_for_codex():
    assert not read("codex", r.codex("unexpected status 401 Unauthorized")).usage.measured


def test_claudes_answer_that_was_fetched_twice_is_counted():
    """``usage`` says zero then; ``modelUsage`` knows better."""
    run, usage, _ = ANSWERS["claude"]
    assert '"usage": {"input_tokens": 0' in run.stdout
    assert read("claude", run).usage == usage


def test_qwens_error_in_place_of_an_answer_is_told_from_a_quoted_one():
    error = "[API Error: 401 Incorrect API key provided.]"
    assert kind_of("qwen", r.qwen(error)) is FailureKind.AUTH
    assert kind_of("qwen", r.qwen(error, spent=60, errors=0)) is None
    assert kind_of("qwen", r.qwen(f"It says {error}", spent=60, errors=0)) is None


def test_usage_of_several_models_is_added_up():
    tokens = {"prompt": 10, "candidates": 5, "thoughts": 1, "cached": 2, "total": 16}
    model = {"api": {"totalRequests": 1}, "tokens": tokens}
    stats = {"models": {"small": model, "large": model}}
    run = Run(stdout=json.dumps({"response": TEXT, "stats": stats}), exit_code=0)
    outcome = read("gemini", run)
    assert outcome.usage == Usage(
        input_tokens=20,
        output_tokens=12,
        cached_tokens=4,
        reasoning_tokens=2,
        total_tokens=32,
        requests=2,
        measured=True,
    )
    assert outcome.model is None  # which of them answered is not said
