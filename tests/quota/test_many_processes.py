"""Eight processes on one file: the quota is never exceeded, used in full, and shared fairly.

Each is paced, as an admission paces its calls; here without a burst. Where nobody is, the room of
a new window goes to whoever comes back soonest, and one may have five times as much as another.

Run as a program (``python -m tests.quota.test_many_processes FILE LOG SECONDS``), this is one of
them: it starts as much as it may and writes each start into its log.
"""

import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from attrs import frozen

from leyline.limits import Limit, Measure, Weight
from leyline.quota import Booked
from leyline.quota.accounts_file import uptime
from leyline.quota.pacer import pacer_for
from leyline.quota.sqlite import SqliteLedger
from tests.quota.conformance import fullest

PROCESSES = 8
SECONDS = 10.0
LIMIT = Limit(name="requests", measure=Measure.REQUESTS, amount=100, per=2.0)


async def start_what_may_start(path: Path, log: Path, seconds: float) -> None:
    """Book, wait, confirm, start, and so on. The log: of each start, the moment and transactions.

    The moments are those before and after the transaction that let it start.
    """
    ledger, pacer = SqliteLedger(path), pacer_for([LIMIT], burst=1)
    assert pacer is not None
    await ledger.status("svc", [LIMIT])  # open
    print("ready", flush=True)
    begin = float(await anyio.to_thread.run_sync(sys.stdin.readline))
    await anyio.sleep(begin - uptime())
    until = begin + seconds
    with log.open("w", buffering=1) as lines:
        while uptime() < until:
            await pacer.permit()
            booking, transactions, before = uuid.uuid4().hex, 1, uptime()
            booked = await ledger.book("svc", booking, [LIMIT], Weight(), max_delay=60.0)
            assert isinstance(booked, Booked)
            while booked.delay > 0:
                await anyio.sleep(booked.delay)
                transactions, before = transactions + 1, uptime()
                booked = await ledger.confirm("svc", booking, [LIMIT], Weight())
            lines.write(f"{before} {uptime()} {transactions}\n")
    await ledger.aclose()


@frozen(kw_only=True)
class Start:
    """process: Which started it. before, after: Moments around the transaction that let it."""

    process: int
    before: float
    after: float
    transactions: int


def run_processes(folder: Path, seconds: float = SECONDS) -> list[Start]:
    """All starts of eight processes that begin at the same moment, in order."""
    logs = [folder / f"{number}.log" for number in range(PROCESSES)]
    argv = [sys.executable, "-m", "tests.quota.test_many_processes", str(folder / "quotas.db")]
    children = [
        subprocess.Popen(
            [*argv, str(log), str(seconds)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for log in logs
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        begin = uptime() + 0.1
        for child in children:
            assert child.stdin is not None
            child.stdin.write(f"{begin}\n")
            child.stdin.flush()
        for child in children:
            assert child.wait(timeout=seconds + 60.0) == 0
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return sorted(
        (
            Start(process=n, before=float(b), after=float(a), transactions=int(t))
            for n, log in enumerate(logs)
            for b, a, t in (line.split() for line in log.read_text().splitlines())
        ),
        key=lambda start: start.after,
    )


def fairness(counts: Sequence[int]) -> float:
    """Jain's: 1 if all are equal, 1 / n if one has it all."""
    return sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))


def used(starts: Sequence[Start], seconds: float) -> float:
    """The part of what the limit allowed in the *seconds* since the first start."""
    began = starts[0].after
    inside = sum(start.after < began + seconds for start in starts)
    return inside / (LIMIT.amount * seconds / LIMIT.per)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[Start]:
    return run_processes(tmp_path_factory.mktemp("processes"))


def test_no_window_ever_holds_more_than_the_limit(starts: list[Start]):
    assert fullest([(start.before, start.after) for start in starts], LIMIT.per) <= LIMIT.amount


def test_the_quota_is_used_in_full(starts: list[Start]):
    assert used(starts, SECONDS) >= 0.9  # 0.97 and more where the machine has time


def test_no_process_gets_much_more_than_another(starts: list[Start]):
    counts = [sum(start.process == number for start in starts) for number in range(PROCESSES)]
    assert fairness(counts) >= 0.95


def test_most_starts_cost_one_transaction(starts: list[Start]):
    assert sum(start.transactions for start in starts) / len(starts) < 1.6


if __name__ == "__main__":
    anyio.run(start_what_may_start, Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
