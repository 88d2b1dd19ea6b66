"""What the layers of a call cost: microseconds a call over a bare handler in memory.

The handler answers at once with one and the same result, so that all the rest is ours. Every row
runs in turn, round after round; the table shows medians, and what each costs beyond the bare
handler, taken round by round.
"""

import asyncio
import gc
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table

from leyline import ExecutionResult, ServiceConfig, ServiceRegistry, Usage
from leyline.calls import Handler, Job, Service
from leyline.calls.job import compose
from leyline.calls.pipeline import layers
from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.events import Events
from leyline.model import BoundCall
from leyline.process import Lifespan
from leyline.quota import Store
from leyline.usage import MemorySink

BARE = "bare handler"
LIMITS = {"rpm": 10**9, "rpd": 10**12}
"""So much that no start is spread out: of a million a minute, each would wait for 60 µs."""

_RESULT = ExecutionResult(
    success=True, text="fine", service="svc", duration=1.0, usage=Usage(measured=True)
)

One = Callable[[], Awaitable[Any]]


async def _answer(_: Job) -> ExecutionResult:
    return _RESULT


def _answering(_: ServiceConfig, __: Clock) -> Handler:
    return _answer


def _config(**fields: Any) -> ServiceConfig:
    return ServiceConfig("svc", "svc", preset="", command_template="{command}", **fields)


def _job(lifespan: Lifespan) -> Job:
    call = BoundCall(prompt="hello", timeout=60.0, max_wait=60.0)
    return Job(
        call=call,
        text=call.prompt,
        model=None,
        prompt_tokens=2,
        lifespan=lifespan,
        secret_variables=frozenset(),
        queued_at=time.time(),
        start_by=None,
        end_by=None,
        timeout=call.timeout,
    )


def _handler(store: Store, events: Events, **fields: Any) -> Handler:
    """All layers of a service around the bare handler."""
    return Service.prepare(
        _config(**fields),
        store,
        SYSTEM_CLOCK,
        events,
        lambda _, __: None,
        run=_answering,
    ).handler


def _each(store: Store) -> dict[str, Handler]:
    """Each layer of a service with a quota, alone around the bare handler."""
    config = _config(quota_limits=LIMITS)
    service = Service.prepare(config, store, SYSTEM_CLOCK, Events(), lambda _, __: None)
    found = layers(
        config,
        service.memory,
        SYSTEM_CLOCK,
        Events(),
        Random(0),
        observe=lambda _: None,
    )
    return {f"{layer.name} alone": compose([layer], _answer) for layer in found}


async def _seconds(one: One, calls: int) -> float:
    gc.collect()
    began = time.perf_counter()
    for _ in range(calls):
        await one()
    return time.perf_counter() - began


async def _measure(calls: int, repeats: int) -> dict[str, list[float]]:
    """Microseconds a call, of every row in every round."""
    store, told = Store.at(":memory:", SYSTEM_CLOCK), Events(lambda _: None)
    sink = MemorySink()
    async with (
        Lifespan(SYSTEM_CLOCK) as lifespan,
        ServiceRegistry(":memory:") as plain,
        ServiceRegistry(":memory:", usage=sink, on_event=lambda _: None) as whole,
    ):
        plain.register("svc", _config(), run=_answering)
        whole.register("svc", _config(quota_limits=LIMITS), run=_answering)
        job = _job(lifespan)
        handlers = {
            BARE: _answer,
            "all layers, as by default": _handler(store, Events()),
            "all layers, with a quota": _handler(store, Events(), quota_limits=LIMITS),
            "the same, with a hook": _handler(store, told, quota_limits=LIMITS),
            **_each(store),
        }
        rows: dict[str, One] = {
            name: (lambda handler=handler: handler(job))  # type: ignore[misc]  # each its own
            for name, handler in handlers.items()
        }
        rows["registry.execute"] = lambda: plain.execute("svc", "hello")
        rows["the same, with quota, book and hook"] = lambda: whole.execute("svc", "hello")
        scores: dict[str, list[float]] = {name: [] for name in rows}
        for number in range(repeats + 1):
            for name, one in rows.items():
                spent = await _seconds(one, calls)
                if number:  # the first round warms up
                    scores[name].append(spent / calls * 1e6)
            sink.records.clear()
            await asyncio.sleep(0.1)
    await store.aclose()
    return scores


def main(calls: int, repeats: int) -> None:
    """Measure everything and print the table."""
    scores = anyio.run(_measure, calls, repeats)
    table = Table(title=f"One call after another in memory, {repeats} x {calls} calls")
    table.add_column("")
    for heading in ("µs a call", "over the bare handler"):
        table.add_column(heading, justify="right")
    for name, rounds in scores.items():
        over = statistics.median(its - bare for its, bare in zip(rounds, scores[BARE], strict=True))
        table.add_row(name, f"{statistics.median(rounds):.1f}", f"{over:.1f}")
    console = Console(width=100)
    console.print(table)
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}"
    )
