"""How long callers wait, in the middle and at the worst: race and hedge, and what they cost.

The services are tasks that sleep, with the same seeds for every contender, which run in turn,
round after round. Hedging: one service, of which two runs in a hundred take 20 times as long; the
plain task group is told the delay that ``"p95"`` has to learn. Racing: two services of the same
kind, both asked at once. The plain task group takes the first success, and cancels the other: no
quota, no budget, no record.
"""

import statistics
import time
from collections.abc import Awaitable, Callable
from random import Random

import anyio
from anyio.abc import TaskGroup
from attrs import frozen
from rich.console import Console
from rich.table import Table

from benchmarks import cascade
from leyline import ServiceRegistry
from leyline.testing import Asked, ScriptedService

USUAL, SLOW_SHARE, SLOWER = 0.02, 0.02, 20.0
CALLERS = 8
NO_HEDGE = "registry.execute, no hedge"
HEDGE = 'registry.race, stagger="p95"'
RACE = "registry.race of two"
PLAIN_RACE = "task group of two"
PLAIN_HEDGE = "task group, fixed delay"

One = Callable[[], Awaitable[object]]


@frozen
class Score:
    """One round. p50, p99: Milliseconds of a call. asked: Runs of services a call."""

    p50: float
    p99: float
    asked: float


class Latency:
    """Seconds of one run after the other; the same for every contender."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self.runs = 0

    def __call__(self, _: Asked | None = None) -> float:
        self.runs += 1
        seconds = USUAL * self._rng.uniform(0.7, 1.3)
        return seconds * SLOWER if self._rng.random() < SLOW_SHARE else seconds


async def _callers(one: One, calls: int) -> list[float]:
    """Milliseconds of each call, in order of length."""
    times: list[float] = []
    numbers = iter(range(calls))

    async def caller() -> None:
        for _ in numbers:
            began = time.perf_counter()
            await one()
            times.append((time.perf_counter() - began) * 1e3)

    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(caller)
    return sorted(times)


def _score(times: list[float], asked: int) -> Score:
    return Score(times[len(times) // 2], times[len(times) * 99 // 100], asked / len(times))


async def _ours(name: str, calls: int, seed: int) -> Score:
    latencies = {"a": Latency(seed), "b": Latency(seed + 1)}
    async with ServiceRegistry(":memory:") as registry:
        for service, latency in latencies.items():
            ScriptedService(service, latency=latency).register(registry)
        contenders: dict[str, One] = {
            NO_HEDGE: lambda: registry.execute("a", "hello"),
            HEDGE: lambda: registry.race("hello", ["a", "a"], stagger="p95"),
            RACE: lambda: registry.race("hello", ["a", "b"]),
        }
        await _callers(contenders[NO_HEDGE], 200)  # what "p95" learns from
        before = sum(latency.runs for latency in latencies.values())
        times = await _callers(contenders[name], calls)
        return _score(times, sum(latency.runs for latency in latencies.values()) - before)


async def _first(*tries: One) -> None:
    """The first that is done wins; the others are cancelled."""

    async def attempt(one: One, group: TaskGroup) -> None:
        await one()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for one in tries:
            group.start_soon(attempt, one, group)


async def _plain(name: str, calls: int, seed: int) -> Score:
    first, second = Latency(seed), Latency(seed + 1)
    for _ in range(200):
        first()
    first.runs = 0

    async def ask(latency: Latency) -> None:
        await anyio.sleep(latency())

    async def later() -> None:
        await anyio.sleep(USUAL * 1.3)
        await ask(first)

    contenders: dict[str, One] = {
        PLAIN_HEDGE: lambda: _first(lambda: ask(first), later),
        PLAIN_RACE: lambda: _first(lambda: ask(first), lambda: ask(second)),
    }
    times = await _callers(contenders[name], calls)
    return _score(times, first.runs + second.runs)


_CONTENDERS = {
    NO_HEDGE: _ours,
    HEDGE: _ours,
    PLAIN_HEDGE: _plain,
    RACE: _ours,
    PLAIN_RACE: _plain,
}


def main(calls: int, repeats: int) -> None:
    """Measure everything and print the tables."""
    scores: dict[str, list[Score]] = {name: [] for name in _CONTENDERS}
    for seed in range(repeats):
        for name, contender in _CONTENDERS.items():
            scores[name].append(anyio.run(contender, name, calls, 100 * seed))
    slow = f"{SLOW_SHARE:.0%} of the runs {SLOWER:g} times slower"
    title = f"{CALLERS} callers, {repeats} x {calls} calls; {slow}"
    table = Table(title=title)
    table.add_column("")
    for heading in ("p50 ms", "p99 ms", "p99: no hedge / it", "runs a call"):
        table.add_column(heading, justify="right")
    for name, rounds in scores.items():
        ratio = statistics.median(
            bare.p99 / its.p99 for bare, its in zip(scores[NO_HEDGE], rounds, strict=True)
        )
        table.add_row(
            name,
            f"{statistics.median(its.p50 for its in rounds):.1f}",
            f"{statistics.median(its.p99 for its in rounds):.1f}",
            f"{ratio:.1f}",
            f"{statistics.median(its.asked for its in rounds):.3f}",
        )
    Console(width=100).print(table)
    cascade.main(calls, repeats)
