"""Several competitors at once, and what is measured of them."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from leyline.quota.accounts_file import uptime
from leyline.quota.windows import slack
from leyline.testing.ledgers import fullest
from tests.quota.competitor import Plan
from tests.quota.redis_process import Server

ROOT = Path(__file__).parents[2]
STORES = ("sqlite", "redis")


def seconds(variable: str, default: float) -> float:
    """How long a run takes, where the environment does not ask for a longer one."""
    return float(os.environ.get(variable, default))


@frozen(kw_only=True)
class Start:
    """process: Which started it. The rest: see ``Turn`` of a competitor."""

    process: int
    first: float
    booked: float
    due: float
    at: float
    transactions: int


@contextlib.contextmanager
def store(kind: str, folder: Path) -> Generator[str]:
    """Where processes can share a quota."""
    if kind == "sqlite":
        yield str(folder / "quotas.db")
        return
    server = Server(folder)
    try:
        yield server.url
    finally:
        server.kill()


@contextlib.contextmanager
def competitors(plans: Sequence[Plan]) -> Generator[list[subprocess.Popen[str]]]:
    """The processes of *plans*, ready to ``begin``; killed in the end."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.quota.competitor", json.dumps(asdict(plan))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for plan in plans
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def begin(processes: Sequence[subprocess.Popen[str]]) -> None:
    """All at the same moment."""
    moment = uptime() + 0.1
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{moment}\n")
        process.stdin.flush()


def end(processes: Sequence[subprocess.Popen[str]], plans: Sequence[Plan]) -> list[Start]:
    """Wait for all to end; their starts, in order."""
    for process, plan in zip(processes, plans, strict=True):
        assert process.wait(timeout=plan.seconds + 60.0) == 0
    return sorted(
        (
            Start(process=number, **facts)
            for number, plan in enumerate(plans)
            for facts in logged(plan)
            if "at" in facts
        ),
        key=lambda start: start.at,
    )


def compete(plans: Sequence[Plan]) -> list[Start]:
    """All starts of *plans*, one process each, from beginning to end."""
    with competitors(plans) as processes:
        begin(processes)
        return end(processes, plans)


def logged(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(plan.log).read_text().splitlines()]


def worst_window(starts: Sequence[Start], per: float) -> int:
    """The most starts that lie in one window for certain: where a process was held up by the
    machine, its start lies somewhere after the moment that it was due."""
    return fullest([(start.due, start.at) for start in starts], per)


@frozen(kw_only=True)
class Figures:
    """What came of a competition.

    worst: The fullest window for certain. measured: The same by the moments measured at the starts.
    use: The part of what the limit allows. fairness: Jain's: 1 if all processes had the same.
    transactions: For each admission. quick: Of each that took next to no time.
    overtaken: Of each start, how many that were booked later started before it was due.
    seen: The most of these, by the moments measured at the starts.
    """

    worst: int
    measured: int
    use: float
    fairness: float
    transactions: float
    quick: list[int]
    overtaken: list[int]
    seen: int

    def __str__(self) -> str:
        return (
            f"window {self.worst} ({self.measured} measured), use {self.use:.3f}, fairness"
            f" {self.fairness:.4f}, {self.transactions:.3f} transactions an admission, overtaken by"
            f" {max(self.overtaken)} ({self.seen} measured), by more than ten"
            f" {sum(by > 10 for by in self.overtaken)} of {len(self.overtaken)} starts"
        )


def figures(starts: Sequence[Start], plans: Sequence[Plan]) -> Figures:
    plan, began = plans[0], starts[0].at
    inside = [start for start in starts if start.at < began + plan.seconds]
    counts = [sum(start.process == number for start in inside) for number in range(len(plans))]
    return Figures(
        worst=worst_window(starts, plan.per),
        measured=fullest([(start.at, start.at) for start in starts], plan.per),
        use=len(inside) / (plan.amount * plan.seconds / plan.per),
        fairness=sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts)),
        transactions=sum(start.transactions for start in starts) / len(starts),
        quick=[
            start.transactions for start in starts if start.at - start.first < slack(plan.per) / 2
        ],
        overtaken=[
            sum(one.booked > start.booked and one.at < start.due for one in starts)
            for start in starts
        ],
        seen=max(
            sum(one.booked > start.booked and one.at < start.at for one in starts)
            for start in starts
        ),
    )
