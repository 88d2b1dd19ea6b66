"""Eight processes on one Redis: the quota is never exceeded, used in full, and shared fairly.

Each is paced, as an admission paces its calls; here without a burst.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import anyio

from leyline.clock import Clock
from leyline.limits import Limit, Measure, Weight
from leyline.quota.pacer import pacer_for
from tests.quota.redis_process import Server, told

ROOT = Path(__file__).parents[2]
ONE = Weight()
AMOUNT, PER, PROCESSES, SECONDS = 100, 2.0, 8, 10.0
SHARED = (Limit(name="shared", measure=Measure.REQUESTS, amount=AMOUNT, per=PER),)


def compete(url: str) -> None:
    """One of the processes: prints the server's time at each start, and ours."""

    async def main() -> None:
        (ledger, told_time), pacer = told(url, None, Clock()), pacer_for(SHARED, burst=1)
        await ledger.status("a", SHARED)
        print("ready", flush=True)
        sys.stdin.readline()
        begin, count = time.monotonic(), 0
        while time.monotonic() < begin + SECONDS:
            await pacer.permit()
            booking = f"{os.getpid()}-{count}"
            outcome = await ledger.book("a", booking, SHARED, ONE, max_delay=float("inf"))
            while outcome.delay > 0:
                await anyio.sleep(outcome.delay)
                outcome = await ledger.confirm("a", booking, SHARED, ONE)
            print(told_time.reply[1], time.time())
            await ledger.settle("a", booking, SHARED, ONE)
            count += 1
        await ledger.aclose()

    anyio.run(main)


def worst_window(stamps: list[float]) -> int:
    stamps = sorted(stamps)
    worst = first = 0
    for i, stamp in enumerate(stamps):
        while stamps[first] <= stamp - PER:
            first += 1
        worst = max(worst, i + 1 - first)
    return worst


def test_eight_processes_share_one_quota_exactly_fully_and_fairly(tmp_path: Path):
    server = Server(tmp_path)
    program = f"from tests.quota.test_redis_processes import compete; compete({server.url!r})"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    argv = [sys.executable, "-c", program]
    processes = [subprocess.Popen(argv, cwd=ROOT, **pipes) for _ in range(PROCESSES)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=90)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
        server.kill()
    assert [process.returncode for process in processes] == [0] * PROCESSES
    starts = [[line.split() for line in output.splitlines()] for output in outputs]
    times = sorted(float(at) for lines in starts for at, _ in lines)
    in_time = [at for at in times if times[0] <= at < times[0] + SECONDS]
    counts = [sum(float(at) < times[0] + SECONDS for at, _ in lines) for lines in starts]
    use = len(in_time) / (AMOUNT * SECONDS / PER)
    fairness = sum(counts) ** 2 / (PROCESSES * sum(count**2 for count in counts))
    clients = worst_window([float(at) for lines in starts for _, at in lines])
    print(f"window {worst_window(times)} ({clients} seen by clients), use {use:.3f}, {counts}")
    assert worst_window(times) <= AMOUNT
    assert use >= 0.90
    assert fairness >= 0.95
