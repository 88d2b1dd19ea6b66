"""Use against limits over time, and what plots show of latency and cost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.limits import DailyReset, Limit, Measure
from leyline.usage.history import daily_costs, edges, latencies, use_of_limit
from leyline.usage.summary import Sample

DAY = 86_400.0


def sample(at: float = 0.0, service: str = "a", **facts) -> Sample:
    usual = {"requests": 1, "input_tokens": 0, "output_tokens": 0, "duration": 1.0,
             "success": True, "refused": False, "failure": "", "dollars": None,
             "estimated": False}  # fmt: skip
    return Sample(at=at, service=service, **{**usual, **facts})


def limit(amount: int = 10, per: float = 60.0, **facts) -> Limit:
    return Limit(name="l", amount=amount, per=per, **{"measure": Measure.REQUESTS, **facts})


def test_use_is_that_of_the_fullest_moment_of_a_bin():
    samples = [sample(at) for at in (0.0, 1.0, 2.0, 59.0, 61.0, 200.0)]
    assert use_of_limit(samples, limit(), [0.0, 60.0, 120.0, 180.0, 240.0]) == [
        0.4, 0.3, 0.1, 0.1,
    ]  # fmt: skip


def test_what_was_used_before_the_first_bin_counts_as_long_as_the_limit_reaches():
    assert use_of_limit([sample(0.0), sample(50.0)], limit(), [70.0, 100.0, 130.0]) == [0.1, 0.1]


def test_a_calendar_day_begins_at_nothing():
    samples = [sample(DAY - 10), sample(DAY - 5), sample(DAY + 5)]
    daily = limit(per=DAY, reset=DailyReset())
    assert use_of_limit(samples, daily, [DAY - 20, DAY, DAY + 20]) == [0.2, 0.1]


def test_tokens_are_counted_where_the_limit_counts_tokens_and_refusals_nowhere():
    samples = [sample(1.0, input_tokens=3, output_tokens=4), sample(2.0, refused=True)]
    assert use_of_limit(samples, limit(measure=Measure.TOKENS), [0.0, 10.0]) == [0.7]
    assert use_of_limit(samples, limit(), [0.0, 10.0]) == [0.1]


@given(st.lists(st.integers(0, 300), max_size=30).map(sorted), st.integers(1, 100))
def test_use_is_never_other_than_counted_one_by_one(moments: list[int], per: int):
    bins = [float(edge) for edge in range(0, 310, 10)]
    found = use_of_limit([sample(float(at)) for at in moments], limit(1, float(per)), bins)
    for share, (start, end) in zip(found, pairwise(bins), strict=True):
        before = sum(start - per < at < start for at in moments)
        within = [at for at in moments if start <= at < end]
        assert share == max(
            before, *(sum(now - per < at <= now for at in moments) for now in within), 0
        )


def test_bins_are_equal_and_end_where_the_time_ends():
    assert edges(0.0, 1.0, 4) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_latency_is_of_what_went_well_the_quickest_service_first():
    samples = [sample(service="slow", duration=float(n)) for n in range(1, 102)]
    samples += [sample(service="quick", duration=0.5), sample(success=False, duration=99.0)]
    quick, slow = latencies(samples)
    assert (quick.service, quick.runs, quick.p05, quick.p95) == ("quick", 1, 0.5, 0.5)
    assert (slow.p05, slow.p25, slow.p50, slow.p75, slow.p95) == (6, 26, 51, 76, 96)


def test_cost_is_by_day_and_service_with_what_is_estimated_beside():
    costs = daily_costs([
        sample(1000.0, dollars=1.0), sample(1000.0, dollars=0.5, estimated=True),
        sample(1000.0), sample(1000.0 + 3 * DAY, "b", dollars=2.0),
    ])  # fmt: skip
    assert [(c.service, c.reported, c.estimated) for c in costs] == [
        ("a", 1.0, 0.5), ("b", 2.0, 0.0),
    ]  # fmt: skip
    assert (costs[1].day - costs[0].day).days == pytest.approx(3)
