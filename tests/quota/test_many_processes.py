"""Eight processes on one store: the quota is never exceeded, used in full, and shared fairly.

``LEYLINE_SECONDS`` makes the run longer than ten seconds; ``pytest -s`` shows the figures.
"""

import pytest

from tests.quota.competition import STORES, Figures, compete, figures, seconds, store
from tests.quota.competitor import Plan

PROCESSES = 8
AMOUNT, PER = 100, 2.0
SECONDS = seconds("LEYLINE_SECONDS", 10.0)
TENTH = AMOUNT / 10

pytestmark = pytest.mark.timeout(2 * SECONDS + 100)


@pytest.fixture(scope="module", params=STORES)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    folder = tmp_path_factory.mktemp("processes")
    with store(request.param, folder) as where:
        plans = [
            Plan(store=where, log=str(folder / f"{n}"), amount=AMOUNT, per=PER, seconds=SECONDS)
            for n in range(PROCESSES)
        ]
        found = figures(compete(plans), plans)
    print(f"\n{request.param}, {SECONDS:g} s: {found}")
    return found


def test_no_window_ever_holds_more_than_the_limit(found: Figures):
    assert found.worst <= AMOUNT


def test_the_quota_is_used_in_full(found: Figures):
    assert found.use >= 0.95  # 0.97 and more where the machine has time


def test_no_process_gets_much_more_than_another(found: Figures):
    assert found.fairness >= 0.97  # 0.98


def test_few_starts_cost_more_than_one_transaction(found: Figures):
    assert found.transactions <= 1.5  # 1.2: a busy machine makes more of them wait for their moment


def test_who_can_start_at_once_costs_one_transaction(found: Figures):
    assert len(found.quick) > 20
    assert sum(one > 1 for one in found.quick) <= 0.01 * len(found.quick)


def test_hardly_a_start_is_overtaken_by_more_than_a_tenth_of_the_limit(found: Figures):
    """None where the machine has time: who is held up by it cannot be waited for."""
    far = [by for by in found.overtaken if by > TENTH]
    assert len(far) <= 0.01 * len(found.overtaken)
