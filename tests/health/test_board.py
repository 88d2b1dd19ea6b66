"""What is believed of a service: slow to change its mind, and never on the wrong evidence."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.health import HealthBoard
from leyline.model import ExecutionResult, Failure, FailureKind, HealthReport, HealthStatus

T0 = 1_800_000_000.0
ANSWER = ExecutionResult(success=True, text="ok")


def failed(kind: FailureKind = FailureKind.SERVER, **fields) -> ExecutionResult:
    return ExecutionResult(failure=Failure(kind=kind, message="words", **fields))


def found(status: HealthStatus, **fields) -> HealthReport:
    return HealthReport(service="svc", status=status, **fields)


PASS = found(HealthStatus.HEALTHY, installed=True, version="1.0")
FAIL = found(HealthStatus.UNHEALTHY, installed=True, reason="broken")


def status(board: HealthBoard, now: float) -> HealthStatus:
    return board.report("svc", now).status


def down_board() -> HealthBoard:
    """A board on which the service has just gone down, at T0."""
    board = HealthBoard()
    for _ in range(3):
        board.record(FAIL, T0)
    assert status(board, T0) is HealthStatus.UNHEALTHY
    return board


def test_what_nobody_looked_at_is_unknown_and_usable():
    board = HealthBoard()
    assert status(board, T0) is HealthStatus.UNKNOWN
    assert board.usable(["a", "svc"], T0) == ["a", "svc"]


def test_a_service_comes_up_with_its_first_success():
    board = HealthBoard()
    board.record(PASS, T0)
    assert board.report("svc", T0) == PASS


def test_it_takes_three_failures_in_a_row_to_go_down():
    board = HealthBoard()
    for step, report in enumerate([FAIL, FAIL, PASS, FAIL, FAIL]):
        board.record(report, T0 + step)
        assert board.usable(["svc"], T0 + step) == ["svc"]
    board.record(FAIL, T0 + 5)
    assert board.report("svc", T0 + 5) == FAIL
    assert board.usable(["svc"], T0 + 5) == []


def test_it_takes_two_successes_in_a_row_to_come_back():
    board = down_board()
    for step, report in enumerate([PASS, FAIL, PASS], start=1):
        board.record(report, T0 + step)
        assert status(board, T0 + step) is HealthStatus.UNHEALTHY
    board.record(PASS, T0 + 4)
    assert status(board, T0 + 4) is HealthStatus.HEALTHY


@pytest.mark.parametrize(
    "report",
    [
        found(HealthStatus.UNHEALTHY, installed=False),
        found(HealthStatus.UNHEALTHY, authenticated=False),
    ],
    ids=["not installed", "not logged in"],
)
def test_a_check_with_a_definite_reason_takes_it_down_at_once(report: HealthReport):
    board = HealthBoard()
    board.record(PASS, T0)
    board.record(report, T0 + 1)
    assert board.report("svc", T0 + 1) == report


@pytest.mark.parametrize("kind", [FailureKind.AUTH, FailureKind.CREDIT, FailureKind.NOT_FOUND])
def test_a_call_with_a_definite_reason_takes_it_down_at_once(kind: FailureKind):
    board = HealthBoard()
    board.observe("svc", failed(kind), T0)
    report = board.report("svc", T0)
    assert (report.status, report.reason) == (HealthStatus.UNHEALTHY, f"{kind}: words")
    assert report.installed is (kind is not FailureKind.NOT_FOUND)
    assert (report.authenticated is False) is (kind is FailureKind.AUTH)


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.BAD_REQUEST,
        FailureKind.CONTEXT_TOO_LONG,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.OUTPUT_TOO_LARGE,
        FailureKind.CANCELLED,
    ],
)
def test_the_callers_own_faults_say_nothing_of_the_service(kind: FailureKind):
    board = HealthBoard()
    board.record(PASS, T0)
    for _ in range(10):
        board.observe("svc", failed(kind), T0)
    assert board.report("svc", T0) == PASS


def test_a_check_of_unknown_outcome_changes_nothing():
    board = down_board()
    board.record(found(HealthStatus.UNKNOWN, reason="too many open files"), T0 + 299)
    assert board.report("svc", T0 + 299) == FAIL
    assert status(board, T0 + 301) is HealthStatus.UNKNOWN  # no news either


def test_an_answer_shows_everything_at_once():
    board = HealthBoard()
    board.observe("svc", ANSWER, T0)
    report = board.report("svc", T0)
    assert (report.status, report.live) == (HealthStatus.HEALTHY, True)
    assert (report.installed, report.authenticated) == (True, True)
    assert report.checked_at == T0


def test_an_answer_a_moment_ago_outweighs_a_missing_key_but_an_old_one_does_not():
    no_key = found(HealthStatus.DEGRADED, installed=True, authenticated=False, reason="no key")
    board = HealthBoard()
    board.record(no_key, T0)
    assert board.report("svc", T0) == no_key
    board.observe("svc", ANSWER, T0 + 10)
    board.record(no_key, T0 + 20)
    report = board.report("svc", T0 + 20)
    assert (report.status, report.authenticated, report.reason) == (HealthStatus.HEALTHY, True, "")
    board.record(no_key, T0 + 400)
    assert board.report("svc", T0 + 400) == no_key


def test_an_answer_a_moment_ago_does_not_outweigh_a_prompt_that_was_refused_since():
    limited = found(HealthStatus.DEGRADED, authenticated=False, live=False, reason="limited")
    board = HealthBoard()
    board.observe("svc", ANSWER, T0)
    board.record(limited, T0 + 1)
    assert board.report("svc", T0 + 1) == limited


def test_checks_that_ask_no_prompt_do_not_hide_that_every_call_fails():
    board = HealthBoard()
    for step in range(3):
        board.record(PASS, T0 + 60 * step)
        board.observe("svc", failed(), T0 + 60 * step + 30)
    assert status(board, T0 + 150) is HealthStatus.UNHEALTHY


def test_checks_bring_a_service_back_but_the_next_failed_call_takes_it_down_again():
    board = HealthBoard()
    for _ in range(3):
        board.observe("svc", failed(), T0)
    board.record(PASS, T0 + 10)
    board.record(PASS, T0 + 20)
    assert status(board, T0 + 20) is HealthStatus.HEALTHY
    board.observe("svc", failed(), T0 + 30)
    assert status(board, T0 + 30) is HealthStatus.UNHEALTHY


def test_an_answer_makes_up_for_the_calls_that_failed():
    board = HealthBoard()
    for result in [failed(), failed(), ANSWER, failed(), failed()]:
        board.observe("svc", result, T0)
    assert status(board, T0) is HealthStatus.HEALTHY


def test_stale_is_unknown_and_usable():
    board = down_board()
    board.record(FAIL, T0 + 100)
    assert status(board, T0 + 399) is HealthStatus.UNHEALTHY
    report = board.report("svc", T0 + 401)
    assert (report.status, report.reason) == (HealthStatus.UNKNOWN, "not checked recently")
    assert board.usable(["svc"], T0 + 401) == ["svc"]


def test_what_was_down_and_forgotten_comes_up_with_one_success_and_down_with_one_failure():
    board = down_board()
    board.record(PASS, T0 + 400)
    assert status(board, T0 + 400) is HealthStatus.HEALTHY
    board = down_board()
    board.record(FAIL, T0 + 400)
    assert status(board, T0 + 400) is HealthStatus.UNHEALTHY


def test_evidence_that_does_not_convince_yet_is_still_news():
    board = down_board()
    board.record(PASS, T0 + 250)
    assert status(board, T0 + 500) is HealthStatus.UNHEALTHY


@pytest.mark.parametrize(
    ("announced", "seconds"),
    [({"until": T0 + 100.0}, 100.0), ({"retry_after": 7.0}, 7.0), ({}, 60.0)],
)
@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED])
def test_a_limited_service_is_degraded_until_its_time_and_never_down(kind, announced, seconds):
    board = HealthBoard()
    for _ in range(10):
        board.observe("svc", failed(kind, **announced), T0)
    report = board.report("svc", T0 + seconds - 0.5)
    assert (report.status, report.reason) == (HealthStatus.DEGRADED, f"{kind}: words")
    assert board.usable(["svc"], T0) == ["svc"]
    assert status(board, T0 + seconds + 0.5) is HealthStatus.UNKNOWN


def test_a_limit_outlasts_a_check_that_asks_no_prompt_and_the_time_after_which_news_is_old():
    board = HealthBoard()
    board.observe("svc", failed(FailureKind.QUOTA_EXHAUSTED, until=T0 + 20_000), T0)
    board.record(PASS, T0 + 1)
    assert status(board, T0 + 2) is HealthStatus.DEGRADED
    assert status(board, T0 + 19_999) is HealthStatus.DEGRADED
    assert status(board, T0 + 20_001) is HealthStatus.UNKNOWN


def test_after_a_short_limit_the_service_is_what_it_was():
    board = HealthBoard()
    board.record(PASS, T0)
    board.observe("svc", failed(FailureKind.RATE_LIMITED, retry_after=5.0), T0 + 1)
    assert status(board, T0 + 3) is HealthStatus.DEGRADED
    assert board.report("svc", T0 + 7) == PASS


def test_a_limit_does_not_make_a_dead_service_usable():
    board = down_board()
    board.observe("svc", failed(FailureKind.RATE_LIMITED, retry_after=50.0), T0 + 1)
    assert status(board, T0 + 2) is HealthStatus.UNHEALTHY


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 5000)), min_size=1))
def test_a_later_limit_extends_and_an_earlier_one_never_shortens(limits):
    board = HealthBoard()
    now = T0
    for pause, until in limits:
        now += pause
        board.observe("svc", failed(FailureKind.RATE_LIMITED, until=T0 + until), now)
    latest = T0 + max(until for _, until in limits)
    expected = HealthStatus.DEGRADED if now < latest else HealthStatus.UNKNOWN
    assert status(board, now) is expected
    assert status(board, latest + 1) is HealthStatus.UNKNOWN
    if now < latest - 1:
        assert status(board, latest - 1) is HealthStatus.DEGRADED


def changes(board: HealthBoard, evidence: list[tuple[float, object]]) -> list[float]:
    """When the service went up or down on *board* while it took in *evidence*."""
    times: list[float] = []
    for now, item in evidence:
        before = bool(board.report("svc", now))
        if isinstance(item, HealthReport):
            board.record(item, now)
        else:
            board.observe("svc", item, now)
        if bool(board.report("svc", now)) is not before:
            times.append(now)
    return times


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pause", [0.1, 1.0, 10.0])
def test_a_service_that_fails_half_of_the_time_changes_about_once_a_minute_at_most(seed, pause):
    rng = Random(seed)
    steps = int(3600 / pause)
    evidence = [(T0 + n * pause, ANSWER if rng.random() < 0.5 else failed()) for n in range(steps)]
    assert 2 <= len(changes(HealthBoard(), evidence)) <= 60


EVIDENCE = st.sampled_from(
    [ANSWER, failed(), failed(FailureKind.AUTH), failed(FailureKind.RATE_LIMITED), PASS, FAIL]
)


@given(st.lists(st.tuples(st.floats(0.1, 100.0), EVIDENCE), max_size=200))
def test_whatever_the_sequence_what_relapses_stays_down_for_a_minute(steps):
    now, evidence = T0, []
    for pause, item in steps:
        now += pause
        evidence.append((now, item))
    times = changes(HealthBoard(), evidence)  # down, up, down, up, ...
    for (_, back), (again, recovered) in pairwise(zip(times[::2], times[1::2], strict=False)):
        if again - back < 600.0:
            assert recovered - again >= 60.0


@given(st.lists(EVIDENCE, max_size=60))
def test_whatever_the_sequence_down_needs_a_reason_and_up_two_successes(items):
    board = HealthBoard()
    for n, item in enumerate(items):
        before = bool(board.report("svc", T0 + n))
        changes(board, [(T0 + n, item)])
        after = bool(board.report("svc", T0 + n))
        if before and not after:
            assert item in (failed(), failed(FailureKind.AUTH), FAIL)
        if after and not before:
            assert item in (ANSWER, PASS)
            assert not [i for i in items[max(0, n - 1) : n] if i in (failed(), FAIL)]


def test_a_relapse_is_held_longer_each_time_up_to_five_minutes():
    board = HealthBoard()
    holds = []
    now = T0
    for _ in range(8):
        for _ in range(3):
            board.record(FAIL, now)
        went_down = now
        while not board.report("svc", now):
            now += 1.0
            board.record(PASS, now)
        holds.append(now - went_down)
        now += 1.0
    assert holds == [2.0, 60.0, 120.0, 180.0, 240.0, 300.0, 300.0, 300.0]


def test_a_clock_that_was_set_back_holds_nothing_down():
    board = HealthBoard()
    for step in range(2):
        for _ in range(3):
            board.record(FAIL, T0 + 100 * step)
        for _ in range(2):
            board.record(PASS, T0 + 100 * step + 50)
    assert status(board, T0 + 150) is HealthStatus.UNHEALTHY  # held
    day = 86_400.0
    assert status(board, T0 - day) is HealthStatus.UNKNOWN
    board.record(PASS, T0 - day)
    assert status(board, T0 - day) is HealthStatus.HEALTHY


def test_what_is_forgotten_is_unknown():
    board = down_board()
    board.forget("svc")
    board.forget("never heard of")
    assert board.report("svc", T0) == HealthReport(service="svc")


def test_services_do_not_share_anything():
    board = down_board()
    board.observe("other", ANSWER, T0)
    assert board.usable(["svc", "other", "third"], T0) == ["other", "third"]
