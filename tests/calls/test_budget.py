"""What may be asked of a service beyond what callers asked for."""

import heapq
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.calls.budget import Budget
from leyline.policies import BudgetPolicy

POLICY = BudgetPolicy()


def spend_all(budget: Budget, now: float) -> int:
    spent = 0
    while budget.try_spend(now):
        spent += 1
    return spent


def test_without_calls_the_least_may_be_spent():
    assert spend_all(Budget(POLICY), 0.0) == 3


def test_a_share_of_the_calls_of_the_window_comes_on_top():
    budget = Budget(POLICY)
    for number in range(100):
        budget.note(number * 0.5)
    assert spend_all(budget, 50.0) == 23


def test_a_call_counts_from_its_start():
    budget = Budget(POLICY)
    for _ in range(10):
        budget.note(0.0)
    assert budget.left(0.0) == 5


def test_calls_that_a_window_has_passed_over_count_no_more():
    budget = Budget(POLICY)
    for _ in range(100):
        budget.note(5.0)
    assert budget.left(64.9) == 23
    assert budget.left(72.0) == 3


def test_what_a_long_good_time_has_earned_cannot_be_spent_at_once():
    budget = Budget(POLICY)
    for second in range(36_000):
        budget.note(float(second))
        if second % 30 == 0:
            assert budget.try_spend(float(second))  # somebody always hedges: it is never quiet
    assert spend_all(budget, 36_000.0) <= 3 + 0.2 * 66 - 2


def test_a_service_called_once_an_hour_can_be_asked_again_twice_each_time():
    budget = Budget(POLICY)
    for hour in range(1000):
        budget.note(hour * 3600.0)
        assert budget.try_spend(hour * 3600.0 + 20.0)
        assert budget.try_spend(hour * 3600.0 + 40.0)


@pytest.mark.parametrize("pause", [1.0, 30.0, 50.0, 59.0])
def test_the_least_does_not_come_back_while_it_is_asked_for(pause: float):
    budget = Budget(POLICY)
    spent = 0
    for number in range(1200):
        budget.note(number * pause)
        spent += budget.try_spend(number * pause)
    assert spent == 3 + 1200 * 0.2


def test_a_refusal_is_no_quiet():
    budget = Budget(POLICY)
    assert spend_all(budget, 0.0) == 3
    assert not any(budget.try_spend(float(second)) for second in range(600))
    assert spend_all(budget, 599.0 + 60.0 + 6.0) == 3


def test_what_is_left_is_what_can_be_spent_and_asking_for_it_spends_nothing():
    budget = Budget(POLICY)
    for _ in range(17):
        budget.note(1.0)
    assert [budget.left(2.0), budget.left(2.0)] == [6, 6]
    assert spend_all(budget, 2.0) == 6
    assert budget.left(2.0) == 0
    assert budget.left(1e6) == 3


def test_nothing_allowed_is_nothing_spent():
    budget = Budget(BudgetPolicy(share=0.0, least=0))
    for _ in range(1000):
        budget.note(0.0)
    assert not budget.try_spend(0.0)


def test_a_year_of_silence_costs_no_more_than_a_second():
    budget = Budget(BudgetPolicy(window=0.001))
    budget.note(0.0)
    for year in range(1000):  # slice by slice this would not end
        assert budget.left(year * 31_536_000.0) == 3
    assert len(budget._calls) == 11


def test_a_clock_that_stands_still_or_steps_back_loses_nothing():
    budget = Budget(POLICY)
    for _ in range(100):
        budget.note(100.0)
    assert budget.try_spend(40.0)
    assert spend_all(budget, 100.0) == 22


@pytest.mark.parametrize("seed", range(3))
def test_an_outage_of_ten_minutes_under_a_thousand_callers_costs_a_fifth_and_three(seed: int):
    rng = Random(seed)
    budget = Budget(POLICY)
    calls = extra = 0
    waiting = [(rng.uniform(0.0, 10.0), number, 1) for number in range(1000)]
    heapq.heapify(waiting)
    while waiting[0][0] < 600.0:
        now, number, attempt = heapq.heappop(waiting)
        if attempt == 1:
            budget.note(now)
            calls += 1
        failed_at = now + rng.uniform(0.5, 5.0)
        again = attempt < 3 and budget.try_spend(now)
        extra += again
        heapq.heappush(waiting, (failed_at, number, attempt + 1 if again else 1))
        assert extra <= 0.2 * calls + 3
    assert extra >= 0.19 * calls  # and what is allowed is of use


class Shadow:
    """Every call, try and grant, in a list."""

    def __init__(self, policy: BudgetPolicy) -> None:
        self.policy = policy
        self.calls: list[float] = []
        self.wanted: list[float] = []
        self.spent: list[float] = []

    def allowed(self, calls: int) -> float:
        return self.policy.least + self.policy.share * calls

    def check(self, now: float) -> None:
        window = self.policy.window
        spent = sum(at > now - window for at in self.spent)
        assert spent <= self.allowed(sum(at > now - 1.1 * window for at in self.calls))
        stretches = 1 + sum(b - a > window for a, b in zip(self.wanted, self.wanted[1:]))  # noqa: B905
        assert len(self.spent) <= (
            self.policy.least * stretches + self.policy.share * len(self.calls)
        )

    def since_quiet(self) -> float:
        """When it began to be asked for without a pause of a window and a tenth."""
        begun = self.wanted[-1]
        for at in reversed(self.wanted):
            if begun - at > 1.1 * self.policy.window:
                break
            begun = at
        return begun


steps = st.lists(
    st.tuples(
        st.sampled_from(["note", "note", "note", "spend", "spend", "left"]),
        st.one_of(st.just(0.0), st.floats(0.0, 0.3), st.floats(0.0, 5.0), st.floats(0.0, 30.0)),
    ),
    max_size=300,
)
policies = st.builds(
    BudgetPolicy,
    share=st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]),
    least=st.integers(0, 4),
    window=st.sampled_from([1.0, 7.0, 10.0]),
)


@settings(deadline=None)
@given(policy=policies, steps=steps, start=st.floats(0.0, 1e6))
def test_whatever_comes_both_promises_hold_and_what_they_allow_is_granted(
    policy: BudgetPolicy, steps: list[tuple[str, float]], start: float
):
    budget, shadow, now = Budget(policy), Shadow(policy), start
    for step, gap in steps:
        now += gap
        if step == "note":
            budget.note(now)
            shadow.calls.append(now)
        elif step == "left":
            left = budget.left(now)
            assert 0 <= left <= shadow.allowed(len(shadow.calls))
        else:
            left = budget.left(now)
            granted = budget.try_spend(now)
            assert granted == (left > 0)
            shadow.wanted.append(now)
            if granted:
                shadow.spent.append(now)
                shadow.check(now)
                continue
            window = policy.window
            spent = sum(at > now - 1.101 * window for at in shadow.spent)
            room = shadow.allowed(sum(at > now - 0.999 * window for at in shadow.calls)) - spent
            begun = shadow.since_quiet()
            total = shadow.allowed(sum(at > begun - 0.999 * window for at in shadow.calls))
            assert room < 1 or total - sum(at >= begun for at in shadow.spent) < 1


@given(policy=policies, gaps=st.lists(st.floats(1.11, 100.0), max_size=20))
def test_after_a_quiet_window_the_least_is_there_again(policy: BudgetPolicy, gaps: list[float]):
    budget, now = Budget(policy), 0.0
    for gap in gaps:
        now += gap * policy.window
        assert spend_all(budget, now) == policy.least


def test_what_is_given_back_can_be_spent_again_and_no_more_than_that():
    budget = Budget(BudgetPolicy(share=0.0, least=3, window=60.0))
    assert [budget.try_spend(at) for at in (0.0, 10.0, 20.0, 30.0)] == [True] * 3 + [False]
    budget.give_back(10.0)
    assert budget.left(30.0) == 1
    assert [budget.try_spend(30.0) for _ in range(2)] == [True, False]


def test_what_is_given_back_when_it_no_longer_counts_allows_nothing():
    budget = Budget(BudgetPolicy(share=0.0, least=3, window=60.0))
    assert budget.try_spend(0.0)
    assert budget.try_spend(50.0)
    assert budget.left(70.0) == 1  # of the stretch; the first is out of the window
    budget.give_back(0.0)
    assert budget.left(70.0) == 1
