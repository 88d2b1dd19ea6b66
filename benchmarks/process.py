"""Runs a second and the parent's CPU: /bin/cat with 1 KiB, 16 at a time, several ways.

Every contender runs in turn, round after round, so that a slow minute of the machine falls on all
of them; the table shows medians, and ratios to ``anyio.run_process`` taken round by round.
"""

import asyncio
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import anyio
from attrs import frozen
from rich.console import Console
from rich.table import Table

from leyline import ServiceConfig, ServiceRegistry

PROMPT = "x" * 1024
OURS = "registry.execute"
BASE = "anyio.run_process"


@frozen
class Score:
    """One round. rate: Runs a second. cpu: Milliseconds of the parent's CPU a run, if known."""

    rate: float
    cpu: float | None


async def _workers(one: Callable[[], Awaitable[None]], runs: int, at_a_time: int) -> Score:
    numbers = iter(range(runs))

    async def worker() -> None:
        for _ in numbers:
            await one()

    for _ in range(at_a_time):
        await one()
    cpu, started = _cpu(), time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(at_a_time):
            group.start_soon(worker)
    seconds = time.perf_counter() - started
    return Score(runs / seconds, (_cpu() - cpu) / runs * 1e3)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _registry(runs: int, at_a_time: int) -> Score:
    with tempfile.TemporaryDirectory() as folder:  # not the user's own state and book
        async with ServiceRegistry(Path(folder, "quota.sqlite3")) as registry:
            registry.register("cat", ServiceConfig("cat", "/bin/cat", command_template="{command}"))

            async def one() -> None:
                result = await registry.execute("cat", PROMPT)
                assert result.text == PROMPT

            return await _workers(one, runs, at_a_time)


async def _run_process(runs: int, at_a_time: int) -> Score:
    async def one() -> None:
        completed = await anyio.run_process(["/bin/cat"], input=PROMPT.encode())
        assert completed.stdout.decode() == PROMPT

    return await _workers(one, runs, at_a_time)


async def _create_subprocess(runs: int, at_a_time: int) -> Score:
    async def one() -> None:
        process = await asyncio.create_subprocess_exec(
            "/bin/cat",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        stdout, _ = await process.communicate(PROMPT.encode())
        assert stdout.decode() == PROMPT

    return await _workers(one, runs, at_a_time)


def _parallel(runs: int, at_a_time: int) -> Score:
    """GNU parallel: N copies of one job, its standard input a block of 1 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "prompt")
        source.write_text(PROMPT)
        numbers = "\n".join(str(number) for number in range(runs))
        started = time.perf_counter()
        completed = subprocess.run(
            ["parallel", "--will-cite", "-j", str(at_a_time), f"cat {source} # {{}}"],
            input=numbers.encode(),
            capture_output=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        assert len(completed.stdout) == runs * len(PROMPT)
    return Score(runs / seconds, None)


def _posix_spawn(runs: int, at_a_time: int) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "posix_spawn")
        source = Path(__file__).with_name("posix_spawn.c")
        subprocess.run(["cc", "-O2", "-o", str(binary), str(source)], check=True)
        output = subprocess.run(
            [str(binary), str(runs), str(at_a_time)], capture_output=True, check=True
        )
        rate, cpu = (float(word) for word in output.stdout.split())
    return Score(rate, cpu / runs * 1e3)


def _contenders() -> dict[str, Callable[[int, int], Score]]:
    contenders: dict[str, Callable[[int, int], Score]] = {
        OURS: lambda runs, slots: anyio.run(_registry, runs, slots),
        BASE: lambda runs, slots: anyio.run(_run_process, runs, slots),
        "asyncio.create_subprocess_exec": lambda runs, slots: anyio.run(
            _create_subprocess, runs, slots
        ),
    }
    if shutil.which("parallel"):
        contenders["GNU parallel"] = _parallel
    if shutil.which("cc"):
        contenders["posix_spawn in C (the limit)"] = _posix_spawn
    return contenders


def _seconds(*argv: str, repeats: int) -> float:
    times: list[float] = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main(runs: int, at_a_time: int, repeats: int) -> None:
    """Measure everything and print the table."""
    contenders = _contenders()
    scores: dict[str, list[Score]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            scores[name].append(contender(runs, at_a_time))
    console = Console(width=110)
    table = Table(title=f"/bin/cat with 1 KiB, {at_a_time} at a time, {repeats} x {runs} runs")
    table.add_column("")
    for heading in ("runs/s", f"ours / it ({OURS})", "CPU ms a run", "our CPU / its"):
        table.add_column(heading, justify="right")
    for name, rounds in scores.items():
        rate_ratio = statistics.median(
            ours.rate / its.rate for ours, its in zip(scores[OURS], rounds, strict=True)
        )
        cpu = [its.cpu for its in rounds if its.cpu is not None]
        cpu_ratios = [
            ours.cpu / its.cpu
            for ours, its in zip(scores[OURS], rounds, strict=True)
            if ours.cpu and its.cpu
        ]
        table.add_row(
            name,
            f"{statistics.median(its.rate for its in rounds):.0f}",
            f"{rate_ratio:.2f}",
            f"{statistics.median(cpu):.3f}" if cpu else "-",
            f"{statistics.median(cpu_ratios):.2f}" if cpu_ratios else "-",
        )
    console.print(table)
    importing = _seconds(sys.executable, "-c", "import leyline", repeats=7)
    helping = _seconds(sys.executable, "-m", "leyline.cli", "--help", repeats=7)
    console.print(
        f"import leyline: {importing:.3f} s   leyline --help: {helping:.3f} s   "
        f"Python {platform.python_version()}, anyio {version('anyio')}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}"
    )
