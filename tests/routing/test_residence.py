"""Where calls live: what is closed ends, and nothing of it is left."""

import contextlib
import os
import threading
from pathlib import Path

import anyio
import pytest

from leyline import (
    ExecutionResult,
    FailureKind,
    RegistryClosedError,
    ServiceConfig,
    ServiceRegistry,
)
from leyline.clock import SYSTEM_CLOCK
from leyline.quota import Store
from leyline.quota.memory import MemoryLedger
from leyline.routing.residence import Residence
from leyline.testing import ScriptedService
from tests.processes import is_alive, read_pids

pytestmark = pytest.mark.anyio

LONG = "sh -c 'echo $$ >> {pids}; echo some; exec sleep 600'"


async def test_aclose_ends_calls_outside_async_with_too(tmp_path: Path):
    registry, pids = ServiceRegistry(":memory:"), tmp_path / "pids"
    template = LONG.replace("{pids}", str(pids))
    for name in "ab":
        config = ServiceConfig(name, "sh", command_template=template, timeout_seconds=None)
        registry.register(name, config)
    results: list[ExecutionResult] = []

    async def call(name: str) -> None:
        results.append(await registry.execute(name, "hi"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(call, "a")
            group.start_soon(call, "b")
            while not pids.exists() or len(pids.read_text().split()) < 2:
                await anyio.sleep(0.02)
            alive = await read_pids(pids)
            await registry.aclose()
            assert not any(is_alive(pid) for pid in alive)
    kinds = [result.failure and result.failure.kind for result in results]
    assert kinds == [FailureKind.CANCELLED] * 2
    with pytest.raises(RegistryClosedError, match="is closed; make a new one"):
        await registry.execute("a", "hi")


def of_usage(tmp_path: Path) -> list[str]:
    """Threads that write usage, and descriptors of what they write."""
    threads = [thread.name for thread in threading.enumerate() if thread.name == "leyline-usage"]
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            if target.startswith(str(tmp_path)):
                threads.append(target)
    return threads


@pytest.mark.parametrize("inside", [True, False])
async def test_a_registry_that_is_cancelled_lets_go_of_its_files_and_threads(
    inside: bool, tmp_path: Path
):
    registry = ServiceRegistry(tmp_path / "state.sqlite3")
    ScriptedService("svc", latency=600.0, quota_limits={"rpm": 60}).register(registry)
    ScriptedService("quick", quota_limits={"rpm": 60}).register(registry)
    with anyio.move_on_after(0.3) as scope:
        async with registry if inside else contextlib.nullcontext():
            await registry.execute("quick", "hi")
            await registry.execute("svc", "hi")
    assert scope.cancelled_caught
    with anyio.fail_after(30):
        while of_usage(tmp_path):  # the store of the quotas ends behind us
            await anyio.sleep(0.02)


class CountedStore(Store):
    """Says how often it was closed."""

    closings = 0

    async def aclose(self) -> None:
        self.closings += 1


async def test_a_guest_that_leaves_closes_nothing_of_a_registry_that_was_opened_meanwhile(
    tmp_path: Path,
):
    store = CountedStore(lambda: MemoryLedger(SYSTEM_CLOCK), tmp_path)
    residence = Residence(store, None, SYSTEM_CLOCK)
    came, leave, gone = anyio.Event(), anyio.Event(), anyio.Event()

    async def guest() -> None:
        async with residence.open():
            came.set()
            await leave.wait()
        gone.set()

    async with anyio.create_task_group() as group:
        group.start_soon(guest)
        await came.wait()
        await residence.enter()
        leave.set()
        await gone.wait()
        assert store.closings == 0
        await residence.leave(None, None, None)
        assert store.closings == 1


async def test_a_registry_says_why_it_is_not_the_one_to_use():
    registry = ServiceRegistry(":memory:")
    with pytest.raises(RegistryClosedError, match="is not open; open it with"):
        registry.start_health_monitor()
    async with registry:
        with pytest.raises(RegistryClosedError, match="is open already"):
            await registry.__aenter__()
        await registry.aclose()
        with pytest.raises(RegistryClosedError, match="is closed"):
            registry.start_health_monitor()
    with pytest.raises(RegistryClosedError, match="is closed; make a new one"):
        await registry.__aenter__()
