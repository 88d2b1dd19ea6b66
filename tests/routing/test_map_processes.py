"""Many calls with live processes: leaving the loop leaves none of them behind."""

from contextlib import aclosing
from pathlib import Path

import pytest

from leyline import ServiceRegistry
from leyline.testing import ScriptedTool
from tests.processes import until_dead

pytestmark = pytest.mark.anyio


async def test_each_prompt_is_run_once(tmp_path: Path):
    tool = ScriptedTool(folder=tmp_path)
    async with ServiceRegistry(":memory:") as registry:
        registry.register("tool", tool.config())
        calls = (f"prompt {number}" for number in range(40))
        items = [item async for item in registry.map(calls, concurrency=4)]
    assert all(item.result.text == item.call.prompt for item in items)
    assert sorted(run.prompt for run in tool.runs()) == sorted(i.call.prompt for i in items)


async def test_leaving_the_loop_stops_every_process_and_what_it_started(tmp_path: Path):
    tool = ScriptedTool(
        folder=tmp_path, latency=30.0, failures=(None, None), ignores_sigterm=True, grandchildren=1
    )
    quick = ScriptedTool()
    async with ServiceRegistry(":memory:") as registry:
        registry.register("slow", tool.config(grace_seconds=0.1, quota_limits={"concurrent": 3}))
        registry.register("quick", quick.config())
        calls = (f"prompt {number}" for number in range(10**6))
        async with aclosing(registry.map(calls, concurrency=4)) as items:
            async for _ in items:
                if len(tool.runs()) == 3:
                    break
        pids = [pid for run in tool.runs() for pid in (run.pid, *run.grandchildren)]
        assert len(pids) == 6
        await until_dead(pids)
        assert len(tool.runs()) == 3
