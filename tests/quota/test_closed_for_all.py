"""One process hears "retry in 30 s": all of them wait, and then do not come all at once.

``LEYLINE_CLOSED_SECONDS`` makes the closure longer than six seconds.
"""

from pathlib import Path

import pytest

from leyline.quota.windows import slack
from tests.quota.competition import compete, logged, seconds, worst_window
from tests.quota.competitor import Plan

PROCESSES = 8
AMOUNT, PER = 20, 2.0  # enough that the limit itself would never make them wait so long
GAP = PER / AMOUNT
BEFORE, AFTER = 1.0, 4.0
CLOSED = seconds("LEYLINE_CLOSED_SECONDS", 6.0)
UNDER_WAY = slack(PER) + 0.25
"""Seconds in which those start who had been told to; the machine may hold them up."""
CLOCKS = 0.05
"""Seconds by which uptime and the wall clock may drift apart meanwhile."""


@pytest.mark.timeout(2 * CLOSED + 100)
def test_what_one_process_hears_holds_for_all_and_then_they_keep_their_distance(tmp_path: Path):
    plans = [
        Plan(
            store=str(tmp_path / "quotas.db"),
            log=str(tmp_path / f"{number}"),
            amount=AMOUNT,
            per=PER,
            seconds=BEFORE + CLOSED + AFTER,
            close_after=BEFORE if number == 0 else None,
            closed_for=CLOSED,
        )
        for number in range(PROCESSES)
    ]
    starts = compete(plans)
    (heard,) = [facts for facts in logged(plans[0]) if "closed" in facts]
    closed, opens = heard["closed"] + UNDER_WAY, heard["opens"] - CLOCKS
    before = [start for start in starts if start.at < heard["closed"]]
    during = [start for start in starts if closed <= start.at < opens]
    after = [start for start in starts if start.at >= opens]
    print(
        f"\n{len(before)} starts, {len(during)} while closed for {CLOSED:g} s, then {len(after)};"
        f" the first after {after[0].at - heard['opens']:.3f} s,"
        f" the eighth {after[7].at - heard['opens']:.3f} s"
    )
    assert before
    assert during == []
    for number, start in enumerate(after):
        assert start.at >= opens + number * GAP, number
    assert {start.process for start in after} == set(range(PROCESSES))
    assert worst_window(starts, PER) <= AMOUNT
