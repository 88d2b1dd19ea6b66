"""Many prompts through five scripted services in memory: time, and how far the memory grows.

Against what one would write without it: a task for each prompt at once, behind a semaphore. Every
contender runs in a process of its own. Each result is looked at and let go of.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table

from leyline import Call, ExecutionResult, ServiceRegistry
from leyline.testing import Asked, ScriptedService

OURS = "registry.map"
ORDERED = "registry.map, ordered"
GATHER = "asyncio.gather, semaphore"
_CONCURRENCY = 64
_NAMES = tuple(f"s{number}" for number in range(5))
_MEGABYTE = 2**20


@frozen
class Score:
    """One contender. seconds: For all. cpu: Seconds. grown: Bytes of resident memory, at most.

    wrong: Items that were lost, came twice or failed, but for the poisoned one.
    """

    seconds: float
    cpu: float
    grown: int
    wrong: int


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _Watch:
    """Looks at the resident memory ten times a second, from a thread."""

    def __init__(self) -> None:
        gc.collect()
        self._first = self._most = resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self._most = max(self._most, resident())

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return max(self._most, resident()) - self._first


class _Tally:
    """Counts what came of each item; a byte an item, made before memory is looked at."""

    def __init__(self, items: int) -> None:
        self._seen = bytearray(items)
        self._poison = items // 2

    def add(self, index: int, result: ExecutionResult) -> None:
        expected = index != self._poison
        self._seen[index] += 1 if result.success is expected else 2

    @property
    def wrong(self) -> int:
        return len(self._seen) - self._seen.count(1)


def _prompts(items: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Prompts of half a kilobyte, with the services in turn."""
    for number in range(items):
        turn = number % len(_NAMES)
        yield f"prompt {number} ".ljust(512, "x"), (*_NAMES[turn:], *_NAMES[:turn])


async def _map(registry: ServiceRegistry, items: int, tally: _Tally, *, ordered: bool) -> None:
    calls = (Call(prompt=prompt, services=services) for prompt, services in _prompts(items))
    async for item in registry.map(calls, concurrency=_CONCURRENCY, ordered=ordered):
        tally.add(item.index, item.result)


async def _gather(registry: ServiceRegistry, items: int, tally: _Tally) -> None:
    semaphore = asyncio.Semaphore(_CONCURRENCY)

    async def one(index: int, prompt: str, services: tuple[str, ...]) -> None:
        async with semaphore:
            try:
                result = await registry.execute_with_failover(prompt, services=services)
            except Exception:
                result = ExecutionResult()
        tally.add(index, result)

    await asyncio.gather(*(one(index, *call) for index, call in enumerate(_prompts(items))))


_CONTENDERS: dict[str, Callable[[ServiceRegistry, int, _Tally], Awaitable[None]]] = {
    OURS: lambda registry, items, tally: _map(registry, items, tally, ordered=False),
    ORDERED: lambda registry, items, tally: _map(registry, items, tally, ordered=True),
    GATHER: _gather,
}


async def _measure(name: str, items: int) -> Score:
    poison = f"prompt {items // 2} "

    def outcome(asked: Asked) -> str | None:
        return "crashed" if asked.prompt.startswith(poison) else None

    async with ServiceRegistry(":memory:") as registry:
        for service in _NAMES:
            ScriptedService(service, failures=outcome).register(registry)
        await _CONTENDERS[OURS](registry, 1000, _Tally(1000))
        tally = _Tally(items)
        watch, began, cpu = _Watch(), time.perf_counter(), time.process_time()
        await _CONTENDERS[name](registry, items, tally)
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        return Score(seconds, used, watch.stop(), tally.wrong)


def _alone(name: str, items: int) -> Score:
    command = [sys.executable, "-m", "benchmarks.map", name, str(items)]
    return Score(**json.loads(subprocess.check_output(command)))


def main(items: int) -> None:
    """Measure everything and print the table."""
    scores = {name: _alone(name, items) for name in _CONTENDERS}
    ours = scores[OURS]
    table = Table(title=f"{items:,} prompts, {_CONCURRENCY} at once, five scripted services")
    table.add_column("")
    for heading in ("items/s", "ours / it", "CPU µs an item", "memory +MB", "its / ours", "wrong"):
        table.add_column(heading, justify="right")
    for name, its in scores.items():
        table.add_row(
            name,
            f"{items / its.seconds:.0f}",
            f"{its.seconds / ours.seconds:.2f}",
            f"{its.cpu / items * 1e6:.0f}",
            f"{its.grown / _MEGABYTE:.1f}",
            f"{its.grown / max(ours.grown, 1):.1f}",
            str(its.wrong),
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    print(json.dumps(asdict(anyio.run(_measure, sys.argv[1], int(sys.argv[2])))))
