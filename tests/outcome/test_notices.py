"""What a tool says of its inner retries, while it runs and after it was stopped for them."""

import json
import re
from typing import Final

import pytest

from leyline.config import ErrorPattern, ServiceConfig, Stream
from leyline.model import Completed, Failure, FailureKind, StopReason
from leyline.outcome import OutcomeReader, RetryWatch
from leyline.services import preset_names, resolve
from tests.outcome.recorded_answers import ANSWERS, QUOTED, TEXT

NOW = 1_800_000_000.0
K = FailureKind

SVC = ServiceConfig(
    "svc",
    "svc",
    retry_notices=(
        ErrorPattern(kind=K.RATE_LIMITED, match=r"busy, again in (?P<retry_after>\S+)"),
        ErrorPattern(kind=K.OVERLOADED, match=r"^\{.*again", where=(Stream.STDOUT,)),
        ErrorPattern(kind=K.SERVER, match="broken"),
    ),
)


def _codex(why: str) -> str:
    return f'{{"type":"error","message":"Reconnecting... 1/5 ({why})"}}'


def _claude(status: str, error: str) -> str:
    return (
        '{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,'
        f'"retry_delay_ms":556.16,"error_status":{status},"error":"{error}","session_id":"5"}}'
    )


def _copilot(status: int) -> str:
    return f'{{"type":"model.call_failure","data":{{"statusCode":{status},"retryAttempt":0}}}}'


RECORDED: Final = {
    "gemini": (
        (K.RATE_LIMITED, "Suggested retry after 3s.. Retrying after 5881ms..."),
        (K.RATE_LIMITED, "Attempt 1 failed with status 429. Retrying with backoff... _ApiError: x"),
        (K.OVERLOADED, "Attempt 1 failed with status 503. Retrying with backoff... _ApiError: x"),
        (K.SERVER, "Attempt 2 failed with status 500. Retrying with backoff... _ApiError: x"),
        (K.NETWORK, "Attempt 1 failed. Retrying with backoff... Error: TypeError: fetch failed"),
    ),
    "claude": (
        (K.RATE_LIMITED, _claude("429", "rate_limit")),
        (K.AUTH, _claude("401", "authentication_failed")),
        (K.OVERLOADED, _claude("529", "overloaded")),
        (K.SERVER, _claude("500", "server_error")),
        (K.NETWORK, _claude("null", "unknown")),
    ),
    "codex": (
        (K.RATE_LIMITED, _codex("exceeded retry limit, last status: 429 Too Many Requests")),
        (K.AUTH, _codex("unexpected status 401 Unauthorized: Incorrect API key provided.")),
        (K.OVERLOADED, _codex("unexpected status 503 Service Unavailable: The engine is")),
        (K.OVERLOADED, _codex("We\u2019re currently experiencing high demand, which may")),
        (K.NETWORK, _codex("stream disconnected before completion: error sending request")),
    ),
    "copilot": (
        (K.RATE_LIMITED, _copilot(429)),
        (K.OVERLOADED, _copilot(503)),
        (K.SERVER, _copilot(500)),
    ),
}
"""Lines that the tools wrote while they tried again by themselves, shortened."""


def watched(config: ServiceConfig, line: str) -> Failure | None:
    watch = RetryWatch(config)
    data = f"{line}\n".encode()
    return watch.stderr(data, now=NOW) or watch.stdout(data, now=NOW)


@pytest.mark.parametrize(
    ("name", "kind", "line"),
    [(name, kind, line) for name, samples in RECORDED.items() for kind, line in samples],
)
def test_a_tool_that_tries_again_by_itself_is_understood(name: str, kind: K, line: str):
    notice = watched(resolve(ServiceConfig(name, name)), line)
    assert notice
    assert (notice.kind, notice.message) == (kind, line)


@pytest.mark.parametrize("name", preset_names())
def test_every_notice_of_a_preset_was_seen(name: str):
    for pattern in resolve(ServiceConfig(name, name, preset=name)).retry_notices:
        lines = [line for kind, line in RECORDED[name] if kind is pattern.kind]
        assert any(re.search(pattern.match, line, re.IGNORECASE) for line in lines), pattern


@pytest.mark.parametrize("name", preset_names())
def test_an_answer_that_speaks_of_notices_is_none(name: str):
    config = resolve(ServiceConfig(name, name, preset=name))
    run, _, _ = ANSWERS[name]
    real = RetryWatch(config).stdout(run.stdout.encode() + b"\n", now=NOW)  # copilot had one
    for said in (QUOTED, *(line for samples in RECORDED.values() for _, line in samples)):
        answer = run.stdout.replace(TEXT, json.dumps(said)[1:-1])
        assert RetryWatch(config).stdout(answer.encode() + b"\n", now=NOW) == real


def test_gemini_says_how_long_it_was_told_to_wait():
    notice = watched(resolve(ServiceConfig("g", "gemini")), RECORDED["gemini"][0][1])
    assert notice
    assert notice.retry_after == 3.0


def test_a_notice_is_seen_when_its_line_ends():
    watch = RetryWatch(SVC)
    assert watch.stderr(b"a warning\nbusy, aga", now=NOW) is None
    assert watch.stderr(b"in in 7s", now=NOW) is None
    notice = watch.stderr(b"\nmore", now=NOW)
    assert notice == Failure(kind=K.RATE_LIMITED, message="busy, again in 7s", retry_after=7.0)
    assert watch.stderr(b"\n", now=NOW) is None


def test_the_last_of_several_notices_counts():
    notice = RetryWatch(SVC).stderr(b"busy, again in 7s\nbroken\nfine\n", now=NOW)
    assert notice
    assert (notice.kind, notice.retry_after) == (K.SERVER, None)


def test_each_stream_is_asked_for_its_own_notices():
    watch = RetryWatch(SVC)
    assert watch.stdout(b"busy, again in 7s\nbroken\n", now=NOW) is None
    assert watch.stderr(b"{again}\n", now=NOW) is None
    assert watch.stdout(b"{again}\n", now=NOW)


def test_a_secret_does_not_reach_a_message():
    watch = RetryWatch(SVC, secrets=("sk-loopback-1",))
    notice = watch.stderr(b"broken: sk-loopback-1\n", now=NOW)
    assert notice
    assert notice.message == "broken: [redacted]"


def test_a_tool_without_notices_is_not_watched():
    assert not RetryWatch(ServiceConfig("svc", "svc"))
    assert RetryWatch(SVC)


def given_up(stderr: str, stdout: str = "") -> Failure | None:
    completed = Completed(
        exit_code=None,
        stdout=stdout.encode(),
        stderr=stderr.encode(),
        stopped=StopReason.GIVEN_UP,
        duration=1.0,
    )
    return OutcomeReader(SVC).read(completed, prompt="p", model=None, now=NOW).failure


def test_a_run_that_was_given_up_failed_for_the_reason_of_its_last_notice():
    said = "noise\nbroken\nbusy, again in 7s\nnoise"
    assert given_up(said) == Failure(
        kind=K.RATE_LIMITED, message="busy, again in 7s", retry_after=7.0
    )
    assert given_up("broken", "{again}") == Failure(kind=K.SERVER, message="broken")
    assert given_up("", "{again}") == Failure(kind=K.OVERLOADED, message="{again}")


def test_a_run_that_was_given_up_without_a_notice_was_cancelled():
    failure = given_up("nothing of the kind", "half an answ")
    assert failure
    assert failure.kind is K.CANCELLED
