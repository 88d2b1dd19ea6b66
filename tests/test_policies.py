"""The values of a service's policies, and the formula of its delays."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.policies import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, RetryPolicy


@pytest.mark.parametrize(
    ("policy", "wrong"),
    [
        (RetryPolicy, {"attempts": 0}),
        (RetryPolicy, {"base": -1.0}),
        (RetryPolicy, {"cap": math.inf}),
        (RetryPolicy, {"base": math.nan}),
        (RetryPolicy, {"longest_wait": -1.0}),
        (BudgetPolicy, {"share": 1.5}),
        (BudgetPolicy, {"share": -0.1}),
        (BudgetPolicy, {"least": -1}),
        (BudgetPolicy, {"window": 0.0}),
        (ConcurrencyPolicy, {"least": 0}),
        (ConcurrencyPolicy, {"initial": 0}),
        (ConcurrencyPolicy, {"least": 5, "most": 4}),
        (BreakerPolicy, {"opening": 0.0}),
        (BreakerPolicy, {"opening": math.nan}),
        (BreakerPolicy, {"opening": 300.0, "cap": 60.0}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(policy: type, wrong: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        policy(**wrong)


def test_what_is_allowed_by_default_is_bounded():
    assert RetryPolicy().attempts == 3
    assert (BudgetPolicy().share, BudgetPolicy().least) == (0.2, 3)
    assert ConcurrencyPolicy(most=4).most == 4  # whatever it would begin with


@pytest.mark.parametrize(("opening", "cap"), [(10.0, 60.0), (60.0, 60.0), (300.0, 300.0)])
def test_a_breaker_stays_open_for_as_long_as_was_said_whatever_the_cap_would_be(
    opening: float, cap: float
):
    assert BreakerPolicy(opening=opening).cap == cap


@given(
    base=st.floats(0.0, 1e300),
    cap=st.floats(0.0, 1e300),
    attempt=st.integers(1, 10**9),
    seed=st.integers(0, 100),
)
def test_a_delay_doubles_up_to_its_cap_however_often_it_was_tried(
    base: float, cap: float, attempt: int, seed: int
):
    delay = RetryPolicy(base=base, cap=cap).delay(attempt, rng=Random(seed))
    assert 0.0 <= delay <= cap
    assert attempt > 900 or delay <= base * 2.0 ** (attempt - 1)


@given(asked=st.floats(0.0, 1e6), attempt=st.integers(1, 20), seed=st.integers(0, 100))
def test_what_the_service_asked_for_is_the_least_and_is_spread_by_a_tenth(
    asked: float, attempt: int, seed: int
):
    delay = RetryPolicy(base=0.0).delay(attempt, rng=Random(seed), at_least=asked)
    assert asked <= delay <= 1.1 * asked


def test_those_who_were_told_the_same_do_not_all_come_at_once():
    rng = Random(1)
    delays = {RetryPolicy().delay(1, rng=rng, at_least=30.0) for _ in range(1000)}
    assert len(delays) > 900
