"""When a service is checked next."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.health.board import HealthBoard
from leyline.health.diagnosis import CHECK_SECONDS
from leyline.health.schedule import Schedule


def schedule(interval: float = 60.0, jitter: float = 0.0) -> Schedule:
    return Schedule(interval=interval, jitter=jitter, rng=Random(1))


def test_while_it_goes_well_the_interval_holds():
    plan = schedule(60.0)
    assert [plan.after(usable=True) for _ in range(3)] == [60.0, 60.0, 60.0]


def test_what_fails_is_asked_again_soon_and_then_less_and_less_often():
    plan = schedule(60.0)
    assert [plan.after(usable=False) for _ in range(8)] == [5, 10, 20, 40, 80, 160, 200, 200]


def test_one_success_ends_the_back_off():
    plan = schedule(60.0)
    for _ in range(6):
        plan.after(usable=False)
    assert plan.after(usable=True) == 60.0
    assert plan.after(usable=False) == 5.0


def test_a_failure_never_makes_a_quick_schedule_slower_at_once():
    assert schedule(0.1).after(usable=False) == pytest.approx(0.1)


@given(
    st.floats(0.01, 10_000.0),
    st.floats(0.0, 0.99),
    st.integers(),
    st.lists(st.booleans(), max_size=100),
)
def test_every_delay_is_positive_and_within_its_jitter(interval, jitter, seed, history):
    plan = Schedule(interval=interval, jitter=jitter, rng=Random(seed))
    assert 0.0 <= plan.first() <= jitter * interval
    longest = max(interval, 200.0) * (1.0 + jitter) * 1.0001
    for usable in history:
        assert 0.0 < plan.after(usable=usable) <= longest


def test_services_do_not_move_in_step():
    rng = Random(1)
    plans = [Schedule(interval=60.0, jitter=0.2, rng=rng) for _ in range(50)]
    assert len({plan.first() for plan in plans}) == 50
    assert len({plan.after(usable=True) for plan in plans}) == 50


def test_a_service_that_hangs_is_checked_before_the_board_forgets_that_it_is_down():
    plan = schedule(60.0)
    longest = max(plan.after(usable=False) for _ in range(50)) * 1.2
    assert longest + CHECK_SECONDS < HealthBoard().stale_after


@pytest.mark.parametrize("fields", [{"interval": 0.0}, {"interval": -1.0}, {"jitter": 1.0}])
def test_a_schedule_that_cannot_work_is_refused(fields):
    with pytest.raises(ValueError):
        Schedule(**{"interval": 60.0, "rng": Random(1), **fields})
