"""A process that was stopped, as a machine is that sleeps, and goes on when its moment has passed.

One that is stopped between its admission and its run starts late all the same: nobody can ask
anything in the same instant in which it starts a program.
"""

import signal
import time
from pathlib import Path

import pytest

from leyline.quota.accounts_file import uptime
from tests.quota.competition import STORES, begin, competitors, end, store, worst_window
from tests.quota.competitor import Plan


@pytest.mark.parametrize("kind", STORES)
def test_who_slept_past_its_moment_is_booked_anew(kind: str, tmp_path: Path):
    with store(kind, tmp_path) as where:
        common = {"store": where, "amount": 5, "per": 2.0}
        plans = [
            Plan(log=str(tmp_path / "rival"), seconds=6.5, **common),
            Plan(log=str(tmp_path / "late"), seconds=60.0, tasks=1, most=1, tells=True, **common),
        ]
        with competitors(plans) as processes:
            rival, late = processes
            begin([rival])
            time.sleep(0.5)  # it has all there is
            begin([late])
            booked = float(late.stdout.readline())
            late.send_signal(signal.SIGSTOP)
            assert uptime() < booked
            time.sleep(booked + 1.5 - uptime())
            resumed = uptime()
            late.send_signal(signal.SIGCONT)
            starts = end(processes, plans)
    (start,) = [start for start in starts if start.process == 1]
    assert start.due >= resumed  # the store let it start, and not what it knew before
    assert worst_window(starts, 2.0) <= 5
    assert any(booked - 1.0 < one.at < resumed for one in starts)  # the rival went on meanwhile


@pytest.mark.parametrize("kind", STORES)
def test_no_window_is_exceeded_by_a_process_that_is_stopped_again_and_again(
    kind: str, tmp_path: Path
):
    with store(kind, tmp_path) as where:
        plans = [
            Plan(store=where, log=str(tmp_path / f"{n}"), amount=20, per=1.0, seconds=5.0)
            for n in range(2)
        ]
        with competitors(plans) as processes:
            begin(processes)
            for number in range(6):
                time.sleep(0.21 + 0.037 * number)  # wherever it is by then
                processes[0].send_signal(signal.SIGSTOP)
                time.sleep(0.3 + 0.05 * number)
                processes[0].send_signal(signal.SIGCONT)
            starts = end(processes, plans)
    assert {start.process for start in starts} == {0, 1}
    assert worst_window(starts, 1.0) <= 20
    assert len(starts) >= 50  # of 100: a stop may hit one who holds the file
