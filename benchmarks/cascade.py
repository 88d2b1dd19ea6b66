"""A cascade over three services: calls a second, and calls that failed in vain.

The same services for every contender, in memory: *small* answers 300 calls a minute and refuses
more with a 429; *flaky* fails one run in five, at random; *sound* always answers. Each
run takes 5 ms. So every call could be answered, and one that fails, failed although a healthy
service had quota. Everybody knows the quota of *small*, and has the same callers.

*flaky* fails with a 500 in the first table, with a 503 in the second. A 503 says that a service is
overloaded, so that ours asks it with fewer runs at once, and waits for a place: slower, for the
sake of the service.

LiteLLM's Router calls the services as a custom provider, with no network and no telemetry, in two
ways that its documentation names. Fallbacks from one to the next, without retries, as ours has none
in a cascade (with its default of two, it sleeps between them, and is about ten times slower). And
one group with routing by usage, where a retry is what asks another one: all as by default there.
Every contender runs in a process of its own; LiteLLM is left out where it is not installed.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table

from benchmarks.mocks import SMALL_RPM, Mock, RefusedError, mocks
from leyline import AllServicesFailedError, ServiceRegistry
from leyline.calls import Handler, Job
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.model import ExecutionResult, Failure, FailureKind

OURS = "execute_with_failover"
PLAIN = "a loop with try/except"
CALLERS = 32
_KINDS = {
    429: FailureKind.RATE_LIMITED,
    500: FailureKind.SERVER,
    503: FailureKind.OVERLOADED,
}

Call = Callable[[], Awaitable[bool]]
"""One call; whether it was answered."""


@frozen
class Score:
    """One round. rate: Calls a second. failed: Calls that nobody answered.

    vain: Runs that a service refused or failed, a call. longest: Milliseconds of the slowest call.
    """

    rate: float
    failed: int
    vain: float
    longest: float


async def _measure(call: Call, services: list[Mock], calls: int) -> Score:
    numbers, failed, longest = iter(range(calls)), 0, 0.0

    async def caller() -> None:
        nonlocal failed, longest
        for _ in numbers:
            asked = time.perf_counter()
            failed += not await call()
            longest = max(longest, time.perf_counter() - asked)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(caller)
    seconds = time.perf_counter() - began
    vain = sum(service.vain for service in services) / calls
    return Score(calls / seconds, failed, vain, longest * 1e3)


def _run_of(service: Mock) -> Callable[[ServiceConfig, Clock], Handler]:
    async def run(_: Job) -> ExecutionResult:
        began = time.time()
        failure = None
        try:
            await service.answer()
        except RefusedError as refused:
            failure = Failure(
                kind=_KINDS[refused.status], message=str(refused), retry_after=refused.retry_after
            )
        return ExecutionResult(
            success=failure is None,
            text="" if failure else "fine",
            service=service.name,
            failure=failure,
            started_at=began,
            duration=time.time() - began,
        )

    return lambda _, __: run


async def _ours(services: list[Mock], calls: int) -> Score:
    async with ServiceRegistry(":memory:") as registry:
        for service in services:
            limits = {"rpm": service.rpm} if service.rpm else {}
            config = ServiceConfig(service.name, service.name, preset="", quota_limits=limits)
            registry.register(service.name, config, run=_run_of(service))

        async def call() -> bool:
            try:
                return (await registry.execute_with_failover("hello")).success
            except AllServicesFailedError:
                return False

        return await _measure(call, services, calls)


async def _loop(services: list[Mock], calls: int) -> Score:
    async def call() -> bool:
        for service in services:
            try:
                await service.answer()
            except RefusedError:
                continue
            return True
        return False

    return await _measure(call, services, calls)


def _contenders() -> dict[str, Callable[[list[Mock], int], Awaitable[Score]]]:
    found: dict[str, Any] = {OURS: _ours, PLAIN: _loop}
    if importlib.util.find_spec("litellm"):
        from benchmarks.litellm_router import by_fallbacks, by_usage

        for name, prepare in (("fallbacks", by_fallbacks), ("routing by usage", by_usage)):
            found[f"LiteLLM Router, {name}"] = _routed(prepare)
    return found


def _routed(prepare: Callable[[list[Mock]], Call]) -> Callable[[list[Mock], int], Awaitable[Score]]:
    async def run(services: list[Mock], calls: int) -> Score:
        return await _measure(prepare(services), services, calls)

    return run


def _alone(name: str, calls: int, seed: int, status: int) -> Score:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.cascade", name]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
    output = subprocess.check_output(
        [*command, str(calls), str(seed), str(status)], env=os.environ | offline, text=True
    )
    return Score(**json.loads(output.splitlines()[-1]))


def main(calls: int, repeats: int) -> None:
    """Measure everything and print the tables."""
    for status in (500, 503):
        _compare(calls, repeats, status)


def _compare(calls: int, repeats: int, status: int) -> None:
    names = [OURS, PLAIN]
    if importlib.util.find_spec("litellm"):
        names += [f"LiteLLM Router, {kind}" for kind in ("fallbacks", "routing by usage")]
    scores: dict[str, list[Score]] = {name: [] for name in names}
    for seed in range(repeats):
        for name in names:
            scores[name].append(_alone(name, calls, seed, status))
    title = (
        f"{CALLERS} callers, {repeats} x {calls} calls; {SMALL_RPM}/min, then {status}s, then sound"
    )
    table = Table(title=title)
    table.add_column("")
    for heading in ("calls/s", "ours / it", "failed", "runs in vain a call", "slowest ms"):
        table.add_column(heading, justify="right")
    for name, rounds in scores.items():
        ratio = statistics.median(
            ours.rate / its.rate for ours, its in zip(scores[OURS], rounds, strict=True)
        )
        table.add_row(
            name,
            f"{statistics.median(its.rate for its in rounds):.0f}",
            f"{ratio:.2f}",
            f"{statistics.median(its.failed for its in rounds):.0f}",
            f"{statistics.median(its.vain for its in rounds):.2f}",
            f"{statistics.median(its.longest for its in rounds):.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    chosen, given = _contenders()[sys.argv[1]], [int(word) for word in sys.argv[2:]]
    print(json.dumps(asdict(anyio.run(chosen, mocks(given[1], given[2]), given[0]))))
