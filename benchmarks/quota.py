"""Quotas: starts a second, the worst window, use and fairness, with one and with four processes.

Every contender holds the same quota, saturated; every start is stamped when it is allowed, with
a clock that all processes share. No window may hold more than the quota; a good one uses it whole.
"""

import asyncio
import itertools
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.table import Table

from benchmarks.quota_contenders import Acquire, Contender, contenders
from leyline.clock import SYSTEM_CLOCK
from leyline.limits import Weight, named_limit
from leyline.quota import Store

AMOUNT, PER = 100, 2
CALLERS = 8


@frozen
class Score:
    """rate: Starts a second. worst: Most starts in any window. use: Of what was allowed.
    fairness: Jain's index over the processes."""

    rate: float
    worst: int
    use: float
    fairness: float


async def _saturate(acquire: Acquire, until: float) -> list[float]:
    starts: list[float] = []

    async def caller() -> None:
        while time.monotonic() < until:
            await acquire()
            starts.append(time.monotonic())

    tasks = [asyncio.ensure_future(caller()) for _ in range(CALLERS)]
    await asyncio.wait(tasks, timeout=until - time.monotonic() + 0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [start for start in starts if start < until]


async def _worker(name: str, place: str, begin: float, seconds: float) -> list[float]:
    contender = next(c for c in contenders() if c.name == name)
    acquire = await contender.prepare(AMOUNT, PER, place)
    await asyncio.sleep(max(0.0, begin - time.monotonic()))
    return await _saturate(acquire, begin + seconds)


def worker(name: str, place: str, begin: str, seconds: str) -> None:
    """One process: prints when each of its starts was."""
    starts = asyncio.run(_worker(name, place, float(begin), float(seconds)))
    sys.stdout.write("\n".join(map(repr, starts)))


def _measure(contender: Contender, processes: int, place: str, seconds: float) -> Score:
    begin = time.monotonic() + 1.0 + 0.5 * processes
    arguments = ["worker", contender.name, place, repr(begin), repr(seconds)]
    program = "import sys; from benchmarks.quota import worker; worker(*sys.argv[2:])"
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(processes)
    ]
    logs = [[float(line) for line in p.communicate()[0].split()] for p in running]
    starts = sorted(itertools.chain(*logs))
    worst = max((bisect_left(starts, s + PER) - i for i, s in enumerate(starts)), default=0)
    # A window that begins full allows AMOUNT at once, and then as much again in every PER.
    allowed = AMOUNT * (int(seconds / PER) + (1 if seconds % PER else 0))
    counts = [len(log) for log in logs]
    square = sum(count * count for count in counts)
    fairness = sum(counts) ** 2 / (len(counts) * square) if square else 0.0
    return Score(len(starts) / seconds, worst, len(starts) / allowed, fairness)


@contextmanager
def _redis() -> Generator[str | None]:
    """The URL of a server of our own on the loopback; None where there is no such program."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


async def _cost(state: str) -> float:
    """Median microseconds of an uncontended booking with its settlement."""
    store = Store.at(state, SYSTEM_CLOCK)
    limits = (named_limit("rpm", 10**6), named_limit("tpm", 10**9))
    weight = Weight(requests=1, input_tokens=1000)
    times: list[float] = []
    for number in range(500):
        began = time.perf_counter()
        await store.book("cost", f"b{number}", limits, weight, max_delay=0.0)
        await store.settle("cost", f"b{number}", limits, weight)
        times.append(time.perf_counter() - began)
    await store.aclose()
    return statistics.median(times) * 1e6


def _costs(redis: str | None, folder: str) -> str:
    jobs: dict[str, Awaitable[float]] = {"memory": _cost(":memory:")}
    jobs["SQLite"] = _cost(f"{folder}/cost.db")
    if redis:
        jobs["Redis"] = _cost(redis)

    async def run() -> dict[str, float]:
        return {name: await job for name, job in jobs.items()}

    return ", ".join(f"{name} {cost:.0f}" for name, cost in asyncio.run(run()).items())


def main(seconds: float) -> None:
    """Measure everything and print the table."""
    table = Table(title=f"{AMOUNT} starts in {PER} s, saturated by {CALLERS} callers a process")
    for heading in ("", "processes", "starts/s", "worst window", "use", "Jain"):
        table.add_column(heading, justify="left" if not heading else "right")
    with _redis() as redis:
        for contender, processes in itertools.product(contenders(), (1, 4)):
            if (processes > 1 and not contender.shared) or (contender.redis and not redis):
                continue
            with tempfile.TemporaryDirectory() as folder:
                if contender.redis and redis:
                    subprocess.run(
                        ["redis-cli", "-u", redis, "flushall"], check=True, capture_output=True
                    )
                place = redis if contender.redis and redis else folder
                score = _measure(contender, processes, place, seconds)
            table.add_row(
                contender.name,
                str(processes),
                f"{score.rate:.1f}",
                f"{score.worst}" + (" !" if score.worst > AMOUNT else ""),
                f"{score.use:.1%}",
                f"{score.fairness:.3f}",
            )
        with tempfile.TemporaryDirectory() as folder:
            costs = _costs(redis, folder)
    console = Console(width=100)
    console.print(table)
    console.print(f"uncontended book + settle, two limits, microseconds: {costs}")
    console.print(f"{Path(sys.executable).name} {sys.version.split()[0]}; {seconds:g} s each")
