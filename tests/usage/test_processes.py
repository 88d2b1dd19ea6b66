"""Live processes: killed with -9, many at a time, and gone without a word."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leyline.usage.book import UsageBook

ROOT = Path(__file__).parents[2]
STORES = ("u.db", "u.jsonl")
LOST_SECONDS = 0.5
"""Ten times what is promised, as the machine that tests may have better things to do."""


def start(path: Path, how: str, count: int = 0) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "tests.usage.recorder", str(path), how, str(count)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT)


def kill(process: subprocess.Popen[bytes]) -> tuple[list[str], float]:
    """Kill it after its first words; returns all whole lines of them, and when it was killed."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(random.uniform(0.05, 0.6))
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    return [
        line for line in (first + said).decode().splitlines(keepends=True) if "\n" in line
    ], killed


def calls(path: Path) -> list[int]:
    with UsageBook.open(path) as book:
        return sorted(int(record.call) for record in book.records())


@pytest.mark.parametrize("name", STORES)
def test_what_was_flushed_survives_kill_9(tmp_path: Path, name: str):
    for number in range(4):
        path = tmp_path / f"{number}-{name}"
        said, _ = kill(start(path, "acknowledge"))
        found = calls(path)
        assert found == list(range(1, len(found) + 1))  # no gap, nothing twice
        assert len(found) >= int(said[-1])


@pytest.mark.parametrize("name", STORES)
def test_kill_9_loses_only_the_last_moment(tmp_path: Path, name: str):
    for number in range(4):
        path = tmp_path / f"{number}-{name}"
        said, killed = kill(start(path, "stream"))
        stamps = dict(line.split() for line in said)
        found = calls(path)
        assert found == list(range(1, len(found) + 1))
        lost = [float(stamp) for call, stamp in stamps.items() if int(call) > len(found)]
        assert all(stamp > killed - LOST_SECONDS for stamp in lost)


@pytest.mark.parametrize("name", STORES)
def test_eight_processes_that_just_end_have_written_all_into_one_session(tmp_path: Path, name: str):
    count = 3000
    processes = [start(tmp_path / name, "exit", count) for _ in range(8)]
    assert [process.communicate() and process.returncode for process in processes] == [0] * 8
    with UsageBook.open(tmp_path / name) as book:
        total = book.total()
        sessions = {record.session for record in book.records()}
    assert total.runs == 8 * count
    assert total.total_tokens == 8 * sum(range(count))
    assert total.cost_usd == 8 * count * 0.5
    assert len(sessions) == 1
