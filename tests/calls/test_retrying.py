"""Whether a service is tried again, and when."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.calls.retrying import next_delay
from leyline.model import REMEDIES, Failure, FailureKind
from leyline.policies import RetryPolicy

WALL = 1_800_000_000.0
POLICY = RetryPolicy(attempts=3, base=1.0, cap=30.0, longest_wait=60.0)
AGAIN = {FailureKind.OVERLOADED, FailureKind.SERVER, FailureKind.NETWORK,
         FailureKind.EMPTY, FailureKind.CRASHED}  # fmt: skip
WAITING = {FailureKind.RATE_LIMITED}


def decide(kind: FailureKind = FailureKind.SERVER, **changes: Any) -> float | None:
    said = {name: changes.pop(name) for name in ("retry_after", "until") if name in changes}
    policy = changes.pop("policy", POLICY)
    options: dict[str, Any] = {
        "attempt": 1,
        "failure": Failure(kind=kind, message="", **said),
        "idempotent": True,
        "started": True,
        "left": None,
        "wall": WALL,
        "rng": Random(1),
    }
    return next_delay(policy, **options | changes)


@pytest.mark.parametrize("kind", FailureKind)
def test_only_what_may_pass_at_once_is_tried_again_unasked(kind: FailureKind):
    assert (decide(kind) is not None) == (kind in AGAIN)


@pytest.mark.parametrize("kind", FailureKind)
def test_what_passes_by_itself_is_waited_for_where_the_service_said_when(kind: FailureKind):
    delay = decide(kind, retry_after=10.0)
    assert (delay is not None) == (kind in AGAIN | WAITING)
    assert delay is None or 10.0 <= delay <= 11.0


@pytest.mark.parametrize("kind", sorted(AGAIN | WAITING))
def test_nobody_waits_longer_than_the_policy_says(kind: FailureKind):
    assert decide(kind, retry_after=60.0) is not None
    assert decide(kind, retry_after=60.1) is None
    assert decide(kind, until=WALL + 60.0) is not None
    assert decide(kind, until=WALL + 3600.0) is None


def test_of_two_times_that_the_service_said_the_later_counts():
    for said in ({"retry_after": 5.0, "until": WALL + 20.0}, {"retry_after": 20.0, "until": WALL}):
        delay = decide(**said)
        assert delay is not None
        assert 20.0 <= delay <= 22.0
    assert decide(retry_after=5.0, until=WALL + 3600.0) is None


def test_a_time_that_has_passed_is_now():
    delay = decide(FailureKind.RATE_LIMITED, until=WALL - 3600.0)
    assert delay is not None
    assert 0.0 <= delay <= 1.0


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_the_number_of_tries_is_bounded(attempt: int, again: bool):
    assert (decide(attempt=attempt) is not None) == again


@pytest.mark.parametrize(
    ("idempotent", "started", "again"),
    [(True, True, True), (True, False, True), (False, True, False), (False, False, True)],
)
def test_what_must_not_run_twice_is_tried_again_only_if_nothing_ran(
    idempotent: bool, started: bool, again: bool
):
    assert (decide(idempotent=idempotent, started=started) is not None) == again


def test_nothing_is_tried_again_at_or_past_the_deadline():
    assert decide(retry_after=10.0, left=9.0) is None
    assert decide(retry_after=10.0, left=10.0) is None
    assert decide(retry_after=10.0, left=11.1) is not None
    assert decide(policy=RetryPolicy(base=0.0), left=0.0) is None
    assert decide(left=-1.0) is None


def test_the_delay_is_drawn_from_all_that_the_attempt_allows():
    for attempt, most in ((1, 1.0), (2, 2.0)):
        rng = Random(7)
        drawn = sorted(decide(attempt=attempt, rng=rng) or 0.0 for _ in range(2000))
        furthest = max(abs(d - most * n / 2000) for n, d in enumerate(drawn))
        assert furthest < 0.05 * most  # Kolmogorov and Smirnov would let pass 0.036


@settings(deadline=None)
@given(
    policy=st.builds(
        RetryPolicy,
        attempts=st.integers(1, 10),
        base=st.floats(0.0, 100.0),
        cap=st.floats(0.0, 100.0),
        longest_wait=st.floats(0.0, 1000.0),
    ),
    attempt=st.integers(1, 12),
    kind=st.sampled_from(FailureKind),
    retry_after=st.none() | st.floats(0.0, 1e5),
    ahead=st.none() | st.floats(-1e5, 1e5),
    idempotent=st.booleans(),
    started=st.booleans(),
    left=st.none() | st.floats(-10.0, 1e4),
    rng=st.randoms(use_true_random=False),
)
def test_whatever_is_decided_breaks_no_rule(
    *,
    policy: RetryPolicy,
    attempt: int,
    kind: FailureKind,
    retry_after: float | None,
    ahead: float | None,
    idempotent: bool,
    started: bool,
    left: float | None,
    rng: Random,
):
    until = None if ahead is None else WALL + ahead
    delay = next_delay(
        policy,
        attempt=attempt,
        failure=Failure(kind=kind, message="", retry_after=retry_after, until=until),
        idempotent=idempotent,
        started=started,
        left=left,
        wall=WALL,
        rng=rng,
    )
    if delay is None:
        return
    asked = max(retry_after or 0.0, 0.0 if until is None else until - WALL)
    assert attempt < policy.attempts
    assert REMEDIES[kind].retry or REMEDIES[kind].wait
    assert idempotent or not started
    assert asked <= policy.longest_wait
    assert asked <= delay <= max(1.1 * asked, policy.cap, 0.0)
    assert left is None or delay < left
