"""From bytes to an answer or a failure: an exit code alone decides nothing."""

import json
import pickle
import signal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from leyline.config import (
    ErrorPattern,
    OutputConfig,
    OutputFormat,
    ServiceConfig,
    Stream,
)
from leyline.model import Completed, FailureKind, StopReason
from leyline.outcome import Outcome, OutcomeReader
from leyline.wording import STATUS_LOST

NOW = 1_800_000_000.0

TEXT = ServiceConfig("svc", "svc")
JSON = ServiceConfig(
    "svc",
    "svc",
    output=OutputConfig(
        format=OutputFormat.JSON,
        text="out.text",
        model="out.model",
        failed="out.is_error",
        error_message="out.error.message || err.error.message",
        error_status="out.error.status",
        error_code="out.error.code",
        retry_after="out.error.retry_after",
        until="out.error.until",
        input_tokens="out.usage.in",
        cached_tokens="out.usage.cached",
        output_tokens="out.usage.out",
        reasoning_tokens="out.usage.thought",
        requests="out.usage.requests",
        cost_usd="out.cost",
    ),
    error_patterns=(
        ErrorPattern(kind=FailureKind.RATE_LIMITED, match="slow down"),
        ErrorPattern(
            kind=FailureKind.QUOTA_EXHAUSTED,
            match=r"all used up(?:, back in (?P<retry_after>\S+))?",
        ),
    ),
    exit_codes={41: FailureKind.AUTH},
)


def read(
    config: ServiceConfig,
    stdout: object = "",
    stderr: str = "",
    exit_code: int | None = 0,
    *,
    secrets: tuple[str, ...] = (),
    **fields: Any,
) -> Outcome:
    written = stdout if isinstance(stdout, str) else json.dumps(stdout)
    completed = Completed(
        exit_code=exit_code, stdout=written.encode(), stderr=stderr.encode(), duration=1.5, **fields
    )
    reader = OutcomeReader(config)
    return reader.read(completed, prompt="a prompt", model="asked", now=NOW, secrets=secrets)


def kind(outcome: Outcome) -> FailureKind | None:
    return outcome.failure.kind if outcome.failure else None


def test_text_is_an_answer_without_its_last_line_break():
    outcome = read(TEXT, "  an answer\n\n", "some noise")
    assert (outcome.text, outcome.failure, outcome.model) == ("  an answer", None, "asked")
    assert outcome.stdout == "  an answer\n\n"


def test_an_answer_that_talks_about_errors_is_an_answer():
    text = "HTTP 429 rate limit: insufficient_quota, invalid api key, context window overloaded"
    assert read(TEXT, text).failure is None
    assert read(JSON, {"text": text}).failure is None


def test_noise_about_retries_on_standard_error_does_not_spoil_an_answer():
    assert read(TEXT, "fine", "Attempt 1 failed: 429 slow down. Retrying...").failure is None


@pytest.mark.parametrize("blank", ["", " \n\t ", "\u00a0"])
def test_exit_0_with_a_blank_answer_is_a_failure(blank: str):
    assert kind(read(TEXT, blank)) is FailureKind.EMPTY
    assert kind(read(JSON, {"text": blank})) is FailureKind.EMPTY


def test_exit_0_with_an_error_in_the_document_is_a_failure():
    garbled = {"text": "half an ans", "error": {"message": "INVALID_STREAM"}}
    outcome = read(JSON, garbled)
    assert kind(outcome) is FailureKind.CRASHED
    assert outcome.text == ""
    assert kind(read(JSON, {"text": "x", "is_error": True})) is FailureKind.CRASHED


def test_exit_1_is_a_success_where_the_tool_says_so():
    config = evolve(JSON, output=evolve(JSON.output, succeeded="out.ok"))
    assert read(config, {"text": "fine", "ok": True}, exit_code=1).text == "fine"
    assert kind(read(config, {"text": "fine"}, exit_code=1)) is FailureKind.CRASHED


def test_a_tool_that_confirms_its_answers_and_did_not_was_cut_off():
    config = evolve(JSON, output=evolve(JSON.output, succeeded="out.ok"))
    assert kind(read(config, {"text": "fine"})) is FailureKind.CRASHED


def test_a_lost_status_is_no_success_and_the_message_says_how_it_was_lost():
    silent, talking = read(TEXT, "", exit_code=None), read(TEXT, "half an", exit_code=None)
    for outcome in (silent, talking):
        assert (outcome.text, kind(outcome)) == ("", FailureKind.CRASHED)
        assert outcome.failure is not None
        assert outcome.failure.message.startswith(STATUS_LOST)
    assert "it last said: half an" in str(talking.failure)


def test_a_lost_status_does_not_hide_what_the_tool_says():
    config = evolve(JSON, output=evolve(JSON.output, succeeded="out.done"))
    assert read(config, {"text": "yes", "done": True}, exit_code=None).text == "yes"
    assert kind(read(config, {"text": "yes"}, exit_code=None)) is FailureKind.CRASHED
    limited = read(TEXT, "", "rate limit exceeded", exit_code=None)
    assert kind(limited) is FailureKind.RATE_LIMITED
    assert limited.failure is not None
    assert limited.failure.message == "rate limit exceeded"
    said = read(JSON, {"error": {"message": "no idea"}}, exit_code=None)
    assert said.failure is not None
    assert said.failure.message == "no idea"


def test_exit_1_with_text_is_a_failure():
    outcome = read(TEXT, "half an answer", exit_code=1)
    assert (kind(outcome), outcome.text) == (FailureKind.CRASHED, "")


@pytest.mark.parametrize("answer", ["plain words", '{"an": "answer"}', "[1, 2]", '"quoted"'])
def test_auto_takes_an_answer_for_text_unless_it_looks_like_the_tools_output(answer: str):
    output = evolve(JSON.output, format=OutputFormat.AUTO, succeeded="out.ok")
    config = evolve(JSON, output=output)
    assert read(config, answer).text == answer
    assert read(config, {"ok": True, "text": "x"}).text == "x"
    assert kind(read(config, {"error": {"message": "slow down"}})) is FailureKind.RATE_LIMITED


def test_our_own_stop_comes_before_everything_else():
    error = {"text": "x", "error": {"message": "slow down"}}
    for reason, expected in [
        (StopReason.TIMEOUT, FailureKind.TIMEOUT),
        (StopReason.CLOSED, FailureKind.CANCELLED),
        (StopReason.OUTPUT_TOO_LARGE, FailureKind.OUTPUT_TOO_LARGE),
    ]:
        assert kind(read(JSON, error, exit_code=None, stopped=reason)) is expected


def test_a_time_out_says_what_the_tool_said_last():
    outcome = read(TEXT, "", "one\ntwo\n", None, stopped=StopReason.TIMEOUT)
    assert outcome.failure is not None
    assert outcome.failure.message == "no answer within 1.5 s; it last said: one / two"


def test_a_quota_is_tested_before_a_rate_limit_whatever_the_order_of_the_patterns():
    outcome = read(
        JSON, {"error": {"message": "slow down: all used up, back in 2h", "status": 429}}
    )
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.QUOTA_EXHAUSTED
    assert outcome.failure.retry_after == 7200.0


def test_a_pattern_refines_a_status_and_a_status_an_exit_code():
    assert kind(read(JSON, {"error": {"message": "slow down", "status": 400}}, "", 41)) is (
        FailureKind.RATE_LIMITED
    )
    assert kind(read(JSON, {"error": {"status": 402}}, "", 41)) is FailureKind.CREDIT
    assert kind(read(JSON, "", "", 41)) is FailureKind.AUTH


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, FailureKind.BAD_REQUEST),
        (401, FailureKind.AUTH),
        (403, FailureKind.AUTH),
        (402, FailureKind.CREDIT),
        (404, FailureKind.MODEL_NOT_FOUND),
        (413, FailureKind.CONTEXT_TOO_LONG),
        (418, FailureKind.BAD_REQUEST),
        (429, FailureKind.RATE_LIMITED),
        ("429", FailureKind.RATE_LIMITED),
        (500, FailureKind.SERVER),
        (502, FailureKind.SERVER),
        (503, FailureKind.OVERLOADED),
        (529, FailureKind.OVERLOADED),
        (200, FailureKind.CRASHED),
    ],
)
def test_statuses(status: object, expected: FailureKind):
    assert kind(read(JSON, {"error": {"message": "no", "status": status}})) is expected


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("You exceeded your current quota: GenerateRequestsPerDay", FailureKind.QUOTA_EXHAUSTED),
        ("Error code: 429 - slow down please", FailureKind.RATE_LIMITED),
        ("Error: Incorrect API key provided", FailureKind.AUTH),
        ("Your credit balance is too low", FailureKind.CREDIT),
        ("Error: 'Unknown model: x'", FailureKind.MODEL_NOT_FOUND),
        ("The model `x` does not exist", FailureKind.MODEL_NOT_FOUND),
        ("prompt is too long: 9 tokens", FailureKind.CONTEXT_TOO_LONG),
        ("Error code: 529 Overloaded", FailureKind.OVERLOADED),
        ("connect ECONNREFUSED 127.0.0.1", FailureKind.NETWORK),
        ("Error code: 500 - oh", FailureKind.SERVER),
        ("Segmentation fault", FailureKind.CRASHED),
    ],
)
def test_an_unknown_tool_is_judged_by_the_usual_wordings(stderr: str, expected: FailureKind):
    outcome = read(TEXT, "", stderr, 1)
    assert kind(outcome) is expected
    assert outcome.failure is not None
    assert outcome.failure.message == stderr


def test_an_unknown_tool_that_complains_on_standard_output_is_understood():
    outcome = read(TEXT, "Error: rate limit, try again in 20s", exit_code=1)
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.retry_after) == (FailureKind.RATE_LIMITED, 20.0)


def test_a_tool_that_writes_errors_as_answers_is_known_by_a_pattern_on_its_output():
    pattern = ErrorPattern(
        kind=FailureKind.RATE_LIMITED, match=r"^litellm\.RateLimitError", where=(Stream.STDOUT,)
    )
    config = evolve(TEXT, error_patterns=(pattern,))
    assert kind(read(config, "litellm.RateLimitError: 429")) is FailureKind.RATE_LIMITED
    assert read(config, "about litellm.RateLimitError").failure is None


def test_a_delay_and_a_time_are_read_from_where_the_preset_says():
    outcome = read(JSON, {"error": {"status": 429, "retry_after": "3", "until": NOW + 60}})
    assert outcome.failure is not None
    assert (outcome.failure.retry_after, outcome.failure.until) == (3.0, NOW + 60)


def test_a_delay_is_told_only_for_kinds_that_pass():
    outcome = read(JSON, {"error": {"status": 401, "message": "retry in 5s"}})
    assert outcome.failure is not None
    assert outcome.failure.retry_after is None


@pytest.mark.parametrize(
    ("exit_code", "expected", "words"),
    [
        (3, FailureKind.CRASHED, "exit status 3"),
        (127, FailureKind.NOT_FOUND, "exit status 127"),
        (-signal.SIGKILL, FailureKind.CRASHED, "SIGKILL; perhaps the system ran out of memory"),
        (-signal.SIGSEGV, FailureKind.CRASHED, "SIGSEGV"),
        (-250, FailureKind.CRASHED, "signal 250"),
    ],
)
def test_an_end_without_words(exit_code: int, expected: FailureKind, words: str):
    outcome = read(TEXT, "", "", exit_code)
    assert kind(outcome) is expected
    assert words in (outcome.failure.message if outcome.failure else "")


@pytest.mark.parametrize("stdout", ['{"text": "cut o', "plain words", "\0", "[]garbage", "null"])
def test_output_that_is_not_what_the_tool_writes_is_a_typed_failure(stdout: str):
    assert kind(read(JSON, stdout)) in (FailureKind.CRASHED, FailureKind.EMPTY)


def test_one_line_of_a_hundred_megabytes_is_read_or_refused():
    line = "x" * 100_000_000
    assert len(read(JSON, {"text": line}).text) == 100_000_000
    cut_off = read(JSON, '{"text": "' + line)
    assert kind(cut_off) is FailureKind.CRASHED
    assert len(cut_off.failure.message if cut_off.failure else line) < 1000


def test_a_plain_error_of_a_tool_that_should_write_json_is_understood():
    assert kind(read(JSON, "Error: 429 Too Many Requests", exit_code=1)) is FailureKind.RATE_LIMITED


def test_invalid_utf_8_is_replaced():
    completed = Completed(exit_code=0, stdout=b"caf\xe9 \0 ok", stderr=b"\xff")
    outcome = OutcomeReader(TEXT).read(completed, prompt="x", model=None, now=NOW)
    assert (outcome.text, outcome.stderr) == ("caf\ufffd \0 ok", "\ufffd")


def test_reported_tokens_are_taken_and_summed():
    usage = {"in": 100, "cached": 40, "out": "20", "thought": 5.0, "requests": 2}
    outcome = read(JSON, {"text": "x", "model": "m1", "usage": usage, "cost": 0.25})
    used = outcome.usage
    assert (used.input_tokens, used.cached_tokens, used.output_tokens) == (100, 40, 20)
    assert (used.reasoning_tokens, used.total_tokens, used.requests) == (5, 120, 2)
    assert (used.cost_usd, used.measured, outcome.model) == (0.25, True, "m1")


def test_a_failed_run_still_says_what_it_used():
    outcome = read(JSON, {"error": {"message": "no"}, "usage": {"in": 7}})
    assert (outcome.usage.total_tokens, outcome.usage.measured) == (7, True)


def test_tokens_are_estimated_where_none_are_reported_and_cost_stays_unknown():
    outcome = read(TEXT, "x" * 42)
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (2, 10)
    assert (outcome.usage.measured, outcome.usage.cost_usd) == (False, None)
    assert read(TEXT, "", "refused", 1).usage.total_tokens == 0
    assert read(TEXT, "", "", None, stopped=StopReason.TIMEOUT).usage.total_tokens == 2


@pytest.mark.parametrize("wrong", [-5, "many", True, float("nan"), [1], {"a": 1}, None])
def test_senseless_numbers_are_not_numbers(wrong: object):
    outcome = read(JSON, {"text": "x", "usage": {"in": wrong, "out": 3}, "cost": wrong})
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (0, 3)
    assert outcome.usage.cost_usd is None


def test_secrets_are_in_nothing_that_leaves():
    secret = "sk-very-secret-key"
    outcome = read(
        JSON,
        {
            "text": secret,
            "model": secret,
            "error": {"message": f"bad key {secret}", "code": secret},
        },
        f"key={secret}",
        1,
        secrets=(secret,),
        files={"x": b"{}"},
    )
    assert secret not in repr(outcome) + outcome.text + outcome.stdout + outcome.stderr
    assert outcome.failure is not None
    assert outcome.failure.message == "bad key [redacted]"


def test_a_secret_in_a_file_that_the_tool_wrote_is_in_nothing_that_leaves():
    secret = "sk-very-secret-key"
    output = OutputConfig(
        format=OutputFormat.JSON,
        text="export.text",
        model="export.model",
        error_message="export.error",
        files={"export": "x"},
    )
    config = evolve(TEXT, output=output)
    for content in ({"text": secret, "model": secret}, {"error": secret}):
        files = {"export": json.dumps(content).encode()}
        outcome = read(config, "{}", secrets=(secret,), files=files)
        assert secret not in repr(outcome) + outcome.text


def test_a_message_is_short_and_on_one_line():
    outcome = read(TEXT, "", "\x1b[31mred\x1b[0m\tand " + "x" * 5000 + "\nlast\x07 line", 1)
    assert outcome.failure is not None
    assert len(outcome.failure.message) <= 500
    assert outcome.failure.message.endswith("last line")
    assert outcome.failure.message.isprintable()


def test_an_outcome_pickles():
    outcome = read(JSON, {"error": {"message": "no", "status": 429}})
    assert pickle.loads(pickle.dumps(outcome)) == outcome


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda value: (
        st.lists(value, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "error", "message", "usage", "in", "is_error", "status", "x"]),
            value,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FORMATS = [
    evolve(JSON, output=evolve(JSON.output, format=output_format)) for output_format in OutputFormat
]


@given(st.binary(), st.binary(), st.integers(-64, 255), st.sampled_from(FORMATS))
def test_no_bytes_break_the_reader(stdout: bytes, stderr: bytes, code: int, config: ServiceConfig):
    completed = Completed(exit_code=code, stdout=stdout, stderr=stderr)
    outcome = OutcomeReader(config).read(completed, prompt="x", model=None, now=NOW)
    assert (outcome.failure is None) == bool(outcome.text.strip())


@given(ANYTHING, ANYTHING, st.sampled_from(FORMATS))
def test_no_document_breaks_the_reader(out: object, err: object, config: ServiceConfig):
    outcome = read(config, out, json.dumps(err))
    assert (outcome.failure is None) == bool(outcome.text.strip())
