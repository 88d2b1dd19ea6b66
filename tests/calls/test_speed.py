"""How long a service takes, as its own recent runs tell."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.calls import speed
from leyline.calls.speed import Durations


def durations(*seconds: float, at: float = 0.0) -> Durations:
    known = Durations()
    for value in seconds:
        known.add(value, at)
    return known


def test_of_too_few_runs_nothing_is_said():
    known = durations(1.0, 2.0, 3.0, 4.0)
    assert known.quantile(0.5, 0.0) is None
    known.add(5.0, 0.0)
    assert known.quantile(0.5, 0.0) == 3.0


@pytest.mark.parametrize(
    ("q", "seconds"),
    [(0.0, 1.0), (0.07, 7.0), (0.5, 50.0), (0.95, 95.0), (0.951, 96.0), (0.99, 99.0), (1.0, 100.0)],
)
def test_the_part_of_the_runs_that_was_done_in_that_time(q: float, seconds: float):
    assert durations(*map(float, range(100, 0, -1))).quantile(q, 0.0) == seconds


def test_a_run_of_ten_minutes_ago_counts_half_as_much():
    known = durations(*[10.0] * 20)
    for _ in range(9):
        known.add(1.0, 600.0)
    assert known.quantile(0.5, 600.0) == 10.0
    known.add(1.0, 600.0)  # ten of now against twenty of then
    assert known.quantile(0.5, 600.0) == 1.0
    assert known.quantile(0.51, 600.0) == 10.0


def test_a_run_is_forgotten_after_an_hour_even_if_no_other_came():
    known = durations(*[1.0] * 5)
    assert known.quantile(0.5, 3599.0) == 1.0
    assert known.quantile(0.5, 3600.0) is None


def test_only_the_last_runs_are_kept():
    known = durations(*[100.0] * 10_000, *[1.0] * 128)
    assert known.quantile(1.0, 0.0) == 1.0
    assert len(known._samples) == 128


def test_an_answer_is_worked_out_once_until_there_is_news(monkeypatch: pytest.MonkeyPatch):
    worked_out: list[float] = []
    work_out = Durations._work_out

    def counted(self: Durations, q: float) -> float | None:
        worked_out.append(q)
        return work_out(self, q)

    monkeypatch.setattr(speed.Durations, "_work_out", counted)
    known = durations(*[1.0] * 5)
    for second in range(1000):
        known.quantile(0.5, float(second))
        known.quantile(0.95, float(second))
    assert worked_out == [0.5, 0.95]
    known.add(2.0, 1000.0)
    known.quantile(0.5, 1000.0)
    assert known.quantile(0.95, 1000.0) == 2.0
    known.quantile(0.95, 3600.0)  # the first five are forgotten
    assert worked_out == [0.5, 0.95, 0.5, 0.95, 0.95]


samples = st.lists(st.tuples(st.floats(0.0, 1000.0), st.floats(0.0, 1e5)), max_size=200)


@settings(deadline=None)
@given(samples=samples, q=st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.95, 1.0]))
def test_enough_of_the_weight_lies_at_or_below_and_not_below_alone(
    samples: list[tuple[float, float]], q: float
):
    known, now, kept = Durations(), 0.0, list[tuple[float, float]]()
    for gap, seconds in samples:
        now += gap
        known.add(seconds, now)
        kept.append((now, seconds))
        known.quantile(q, now)  # what is remembered must not be what is wrong later
    recent = [(at, seconds) for at, seconds in kept[-128:] if now - at < 3600.0]
    answer = known.quantile(q, now)
    if len(recent) < 5:
        assert answer is None
        return
    assert answer is not None
    weights = [(0.5 ** ((now - at) / 600.0), seconds) for at, seconds in recent]
    total = sum(weight for weight, _ in weights)
    assert answer in {seconds for _, seconds in recent}
    assert sum(weight for weight, seconds in weights if seconds <= answer) >= (q - 1e-9) * total
    assert sum(weight for weight, seconds in weights if seconds < answer) <= (q + 1e-9) * total


def cancelled(known: Durations, *seconds: float, at: float = 0.0) -> None:
    for value in seconds:
        known.add(value, at, done=False)


def test_a_run_that_was_cancelled_counts_as_a_longer_one():
    known = durations(1.0, 2.0, 3.0, 4.0, 5.0)
    cancelled(known, 2.5, 2.5, 2.5, 2.5, 2.5)
    assert known.quantile(0.2, 0.0) == 2.0
    assert known.quantile(0.21, 0.0) == 3.0
    assert known.quantile(0.5, 0.0) == 4.0  # the eight longer ones stand for 3, 4 and 5 alike
    assert known.quantile(0.8, 0.0) == 5.0


def test_one_that_was_cancelled_early_says_nothing_of_the_speed():
    known = durations(*map(float, range(1, 11)))
    cancelled(known, *[0.5] * 50)
    for q in (0.1, 0.5, 0.95, 1.0):
        assert known.quantile(q, 0.0) == durations(*map(float, range(1, 11))).quantile(q, 0.0)


def test_where_all_longer_ones_were_cancelled_the_longest_is_said():
    known = durations(1.0, 1.0, 1.0, 1.0, 1.0)
    cancelled(known, 7.0, 9.0)
    assert known.quantile(0.5, 0.0) == 1.0
    assert known.quantile(0.95, 0.0) == 9.0


def test_of_runs_that_were_all_cancelled_nothing_is_said():
    known = durations(1.0, 2.0, 3.0, 4.0)
    cancelled(known, *[5.0] * 100)
    assert known.quantile(0.5, 0.0) is None


def test_the_next_run_is_longer_than_the_bound_no_more_often_than_was_said():
    rng, longer, runs = Random(3), 0, 20_000
    known = durations(*(rng.random() for _ in range(200)))
    for _ in range(runs):
        bound, seconds = known.bound(0.95, 0.0), rng.random()
        assert bound is not None
        longer += seconds > bound
        known.add(seconds, 0.0)
    assert 0.04 * runs < longer <= 0.05 * runs


def test_nothing_known_gives_no_bound_and_few_give_the_longest():
    assert Durations().bound(0.95, 0.0) is None
    assert durations(1.0, 2.0).bound(0.95, 0.0) is None
    assert durations(1.0, 2.0, 3.0, 4.0, 5.0).bound(0.95, 0.0) == 5.0
