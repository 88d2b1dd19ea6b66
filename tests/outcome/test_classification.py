"""The usual wordings of tools that nobody described: a number is not a status yet."""

import pytest

from leyline.model import FailureKind as K
from leyline.outcome.classification import Classifier, Evidence

STATUSES = {
    401: K.AUTH,
    402: K.CREDIT,
    403: K.AUTH,
    429: K.RATE_LIMITED,
    500: K.SERVER,
    502: K.SERVER,
    503: K.OVERLOADED,
    504: K.SERVER,
    529: K.OVERLOADED,
}


def kind_of(stderr: str) -> K:
    return Classifier.compile((), {}).classify(Evidence(stderr=stderr, exit_code=1)).kind


@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "{}\n",
        "{}: slow down",
        "{} - slow down",
        "[{}] slow down",
        "{} retry in 30 s",
        "{} try again in 1h",
        "HTTP {}",
        "HTTP/1.1 {} no",
        "HTTP Error {}: no",
        "HttpException: {}",
        "not found on provider (HTTP {}).",
        "last status: {} no",
        "unexpected status {} no",
        "error status={}, no",
        "Request failed with status code {}",
        "Error code: {} - no",
        "[API Error: {} no]",
        "API Error: {} no",
        "API Error: Request rejected ({}) · no",
        "Last error: {} no",
        "Error: {} no",
        "litellm.SomeError: {}",
        "ClientError: {} no",
        "{} Client Error: no for url",
        "Client error '{} no' for url",
        "curl: (22) The requested URL returned error: {}",
        "Attempt 1 failed: {} slow down. Retrying...",
        "Attempt 1 failed with status {}. Retrying...",
        "the server returned {}",
        "API responded with {}",
        "received a {} response",
        '{{"error": {{"code": {}, "message": "no"}}}}',
        '{{"error": {{"code": "{}"}}}}',
        '{{\\"statusCode\\": \\"{}\\"}}',
        "  statusCode: {},",
    ],
)
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_that_is_called_one_is_understood(said: str, status: int):
    assert kind_of(said.format(status)) is STATUSES[status]


@pytest.mark.parametrize(
    "said",
    [
        '  File "/x/tool.py", line {}, in <module>\n    x = y["a"]\nKeyError: \'a\'',
        "/x/tool.js:{0}\n  throw new Error('x')\n  ^\n\nError: x\n    at f (/x/tool.js:{0}:11)",
        "thread 'main' panicked at src/main.rs:{}:5:\noh no",
        "panic: oh no\n\ngoroutine {0} [running]:\nmain.main()\n\t/x/main.go:{0} +0x{0}",
        "SyntaxError: x ({0}:12)\n\n> {0} | foo\n  {0} | bar\n{0} | baz",
        "tool.sh: line {}: x: command not found",
        "KeyError: {}",
        "IndexError: {}",
        "ValueError: {} is not in list",
        "AssertionError: {}",
        "java.lang.ArrayIndexOutOfBoundsException: {}",
        "x = row[{}]",
        "timeout after {} ms",
        "error: {} ms are not enough",
        "error: 12 of {} items",
        "error: {} of 900 items",
        "status: {}/900",
        "processed {} of 900 items",
        "{} tests passed, 1 failed",
        "Errors: {}",
        "wrote {} bytes",
        "cannot decode {}",
        "error:\n{} | x",
        "Error: {}.5 is no whole number",
        "process {} died",
        "1\n{}\n900\nSegmentation fault",
        "[1] done\n[{}] done\nSegmentation fault",
        "1: done\n{}: done\nSegmentation fault",
    ],
)
@pytest.mark.parametrize("number", STATUSES)
def test_a_number_in_a_crash_is_no_status(said: str, number: int):
    assert kind_of(said.format(number)) is K.CRASHED


@pytest.mark.parametrize(
    "said",
    [
        "You exceeded your current quota: GenerateRequestsPerDay",
        "  quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier',",
        "Rate limit reached for x on requests per day (RPD): Limit 200, Used 200",
        "Rate limit exceeded: free-models-per-day. Add 10 credits",
        "Quota exceeded: 1000 per day",
        "Requests per day limit exceeded",
        "429: you have 50 free model requests per day",
    ],
)
def test_a_limit_of_the_day_that_is_reached_is_a_used_up_quota(said: str):
    assert kind_of(said) is K.QUOTA_EXHAUSTED


def test_a_crash_that_names_the_day_is_a_crash():
    assert kind_of("    limit = limits['per day']\nKeyError: 'per day'") is K.CRASHED
