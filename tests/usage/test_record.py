"""One record for each process, and one for each call that was refused."""

import hashlib

import pytest

from leyline.errors import QuotaExceededError, RegistryClosedError, SpawnError
from leyline.model import ExecutionResult, Failure, FailureKind, Usage
from leyline.usage import Prompt, record_of_refusal, record_of_result


def test_a_process_is_recorded_with_all_it_used():
    usage = Usage(
        input_tokens=10, cached_tokens=4, output_tokens=6, reasoning_tokens=2, total_tokens=16,
        requests=3, cost_usd=0.5, measured=True,
    )  # fmt: skip
    result = ExecutionResult(
        success=True, service="svc", model="m", usage=usage, duration=1.5, queued=0.5,
        started_at=100.0,
    )  # fmt: skip
    record = record_of_result(
        result, prompt=Prompt.of("hé"), call="c", attempt=2, operation="race", session="s"
    )
    assert (record.at, record.session, record.service, record.model) == (100.0, "s", "svc", "m")
    assert (record.operation, record.call, record.attempt) == ("race", "c", 2)
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (10, 4, 6)
    assert (record.reasoning_tokens, record.total_tokens, record.requests) == (2, 16, 3)
    assert (record.cost_usd, record.cost_estimated, record.measured) == (0.5, False, True)
    assert (record.success, record.refused, record.failure) == (True, False, "")
    assert (record.duration, record.queued) == (1.5, 0.5)


def test_a_failed_process_is_recorded_with_the_kind_but_not_the_words_of_its_failure():
    failure = Failure(kind=FailureKind.RATE_LIMITED, message="too many of: my secret prompt")
    record = record_of_result(
        ExecutionResult(service="svc", failure=failure), prompt=Prompt.of("my secret prompt")
    )
    assert (record.success, record.failure, record.cost_usd) == (False, "rate_limited", None)
    assert "secret" not in repr(record)


def test_a_refused_call_cost_nothing_and_says_what_refused_it():
    record = record_of_refusal(
        QuotaExceededError("svc", "60 of 60"), at=5.0, service="svc", prompt=Prompt.of("x"),
        queued=0.25,
    )  # fmt: skip
    assert (record.refused, record.success, record.failure) == (True, False, "quota_exceeded")
    assert (record.cost_usd, record.requests, record.total_tokens) == (0.0, 0, 0)
    assert (record.at, record.queued, record.duration) == (5.0, 0.25, 0.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SpawnError("a", "b"), "spawn"),
        (RegistryClosedError(), "registry_closed"),
        (KeyboardInterrupt(), "keyboard_interrupt"),
    ],
)
def test_what_refused_a_call_is_called_after_its_error(error: BaseException, kind: str):
    record = record_of_refusal(error, at=0.0, service="svc", prompt=Prompt.of("x"))
    assert record.failure == kind


def test_of_a_prompt_only_hash_and_size_are_kept_unless_asked_for():
    prompt = Prompt.of("hé")
    assert prompt.sha256 == hashlib.sha256("hé".encode()).hexdigest()
    assert (prompt.length, prompt.text) == (3, None)
    assert Prompt.of("hé", keep=True).text == "hé"
    assert Prompt.of("\ud800").length == 3  # half a character, as a broken file may have it
