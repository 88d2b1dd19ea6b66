"""A process that is killed in the middle of anything leaves a file that is whole.

Run as a program (``python -m tests.quota.test_crash FILE SEED``), this forks one victim after
another, each of which books, settles or refunds and is killed at one of its statements, and looks
at the file after each. It prints what it found as JSON.
"""

import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from leyline.limits import Limit, Measure, Weight
from leyline.quota.sqlite import SqliteLedger

RUNS = 200
LIMITS = [
    Limit(name="requests", measure=Measure.REQUESTS, amount=3, per=1.0),
    Limit(name="tokens", measure=Measure.TOKENS, amount=10**9, per=60.0),
]
WEIGHT = Weight(input_tokens=100)
REAL = Weight(output_tokens=7)
CALLS = ("book", "settle", "refund")


class Dying(sqlite3.Connection):
    """Kills its process before or after one of its statements. left: How many may still run."""

    left = 0.0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._come_closer()
        cursor = super().execute(sql, *parameters)
        self._come_closer()
        return cursor

    def _come_closer(self) -> None:
        Dying.left -= 0.5
        if Dying.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def act(ledger: SqliteLedger, call: str, booking: str) -> None:
    match call:
        case "book":
            await ledger.book("svc", booking, LIMITS, WEIGHT, max_delay=60.0)
        case "settle":
            await ledger.settle("svc", booking, LIMITS, REAL)
        case _:
            await ledger.refund("svc", booking)


async def die(path: Path, call: str, booking: str, statements: float, done: int) -> None:
    """Do *call*, and say so; be killed after so many *statements*, halves being in between."""
    ledger = SqliteLedger(path)
    if statements >= 100:
        await ledger.status("svc", LIMITS)  # opened before; else killed while it is opened
        statements -= 100
    Dying.left = statements
    await act(ledger, call, booking)
    os.write(done, b"x")
    os.kill(os.getpid(), signal.SIGKILL)


def fork_victim(path: Path, call: str, booking: str, statements: float) -> bool:
    """Whether it said that its call was done, before it was killed."""
    heard, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        Dying.left = statements if statements < 100 else 1e9
        sqlite3.connect = partial(sqlite3.connect, factory=Dying)
        anyio.run(die, path, call, booking, statements, done)
    os.close(done)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
    acknowledged = os.read(heard, 1) == b"x"
    os.close(heard)
    return acknowledged


class Witness:
    """Looks at the file after each crash. live: The bookings in it. starts: When each is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.live: set[str] = set()
        self.tokens = 0
        self.starts: dict[str, float] = {}
        self.found: Counter[str] = Counter()
        self.reopened: list[float] = []

    def look(self) -> dict[str, Any]:
        began = time.perf_counter()
        anyio.run(self._status)
        self.reopened.append(time.perf_counter() - began)
        db = sqlite3.connect(self.path)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        row = db.execute("SELECT state FROM accounts").fetchone()
        db.close()
        return json.loads(row[0]) if row else {"bookings": {}}

    async def _status(self) -> None:
        ledger = SqliteLedger(self.path)
        status = await ledger.status("svc", LIMITS)
        self.tokens = status.limits[1].used + status.limits[1].waiting
        await ledger.aclose()

    def judge(self, call: str, booking: str, *, acknowledged: bool) -> None:
        tokens = self.tokens
        there = self.look()["bookings"]
        others = self.live - {booking}
        assert others <= set(there) <= others | {booking}, (call, booking)
        done = (booking in there) == (call == "book")
        assert done or not acknowledged, f"{call} was lost after it was said to be done"
        change = {"book": 100, "settle": 7 - 100, "refund": -100}[call] if done else 0
        assert self.tokens == tokens + change, f"half a {call}"
        self.live = set(there)
        if call == "book" and done:
            self.starts[booking] = there[booking][0]
        elif call == "refund" and done:
            del self.starts[booking]
        self.found[f"{call} {'done' if done else 'not begun'}"] += 1

    def fullest(self) -> int:
        """The most starts in any half-open window."""
        starts = sorted(self.starts.values())
        return max(sum(a <= b < a + LIMITS[0].per for b in starts) for a in starts)


def crash_while_it_is_made(path: Path) -> None:
    """Kill the first who ever opens a file, at every statement; the next one makes it whole."""
    for halves in range(36):
        witness = Witness(path.with_name(f"{halves}.db"))
        acknowledged = fork_victim(witness.path, "book", "b", halves / 2)
        witness.judge("book", "b", acknowledged=acknowledged)


def main(path: Path, seed: int) -> None:
    crash_while_it_is_made(path)
    chance, witness = random.Random(seed), Witness(path)
    for number in range(RUNS):
        call = chance.choice(CALLS) if witness.live else "book"
        booking = f"b{number}" if call == "book" else chance.choice(sorted(witness.live))
        statements = chance.choice([0, 100]) + chance.randrange(0, 26) / 2
        acknowledged = fork_victim(path, call, booking, statements)
        witness.judge(call, booking, acknowledged=acknowledged)
    print(
        json.dumps(
            {
                "found": witness.found,
                "fullest": witness.fullest(),
                "starts": len(witness.starts),
                "reopened": statistics.median(witness.reopened),
            }
        )
    )


@pytest.mark.timeout(200)
@pytest.mark.parametrize("seed", [random.randrange(10**6)])
def test_killed_at_any_statement_the_file_is_whole_and_nothing_but_the_victims_call_is_lost(
    tmp_path: Path, seed: int
):
    argv = [sys.executable, "-m", "tests.quota.test_crash", str(tmp_path / "quotas.db"), str(seed)]
    root = Path(__file__).parents[2]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=root, timeout=150)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["fullest"] <= LIMITS[0].amount
    assert sum(found["found"].values()) == RUNS
    for call in CALLS:  # the crashes were on both sides of every commit
        assert found["found"][f"{call} done"] > 0
        assert found["found"][f"{call} not begun"] > 0
    assert found["reopened"] < 0.1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
