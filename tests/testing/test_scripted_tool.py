"""The scripted tool: a live process that does what it is told, behind a real service."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from leyline import FailureKind, ServiceRegistry, TextDelta
from leyline.testing import RateLimit, ScriptedTool
from tests.processes import is_alive, until_dead

pytestmark = pytest.mark.anyio

NO_RETRY = {"retry": None, "breaker": None}


@pytest.fixture
async def registry():
    async with ServiceRegistry(":memory:") as registry:
        yield registry


async def test_it_answers_and_says_what_it_used(registry: ServiceRegistry):
    tool = ScriptedTool(text="an answer", input_tokens=7, output_tokens=5)
    registry.register("tool", tool.config(models=["small", "big"]))
    result = await registry.execute("tool", "Grüße", model="big")
    assert (result.text, result.model, result.exit_code) == ("an answer", "big", 0)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (7, 5)
    assert result.usage.measured


async def test_it_gives_the_prompt_back_and_writes_down_what_ran(
    registry: ServiceRegistry, tmp_path: Path
):
    tool = ScriptedTool(folder=tmp_path)
    assert tool.runs() == []
    registry.register("tool", tool.config())
    began = time.time()
    result = await registry.execute("tool", "Grüße\n{tmpdir} 'quoted'")
    assert result.text == "Grüße\n{tmpdir} 'quoted'"
    (run,) = tool.runs()
    assert (run.pid, run.prompt, run.refused) == (result.pid, result.text, False)
    assert began - 1 <= run.at <= time.time()


async def test_it_fails_as_often_as_it_is_told(registry: ServiceRegistry, tmp_path: Path):
    kinds = (FailureKind.AUTH, None, FailureKind.OVERLOADED, FailureKind.QUOTA_EXHAUSTED)
    tool = ScriptedTool(folder=tmp_path, failures=kinds)
    registry.register("tool", tool.config(**NO_RETRY))
    results = [await registry.execute("tool", "x") for _ in range(4)]
    assert [r.failure and r.failure.kind for r in results] == list(kinds)


@pytest.mark.parametrize("kind", FailureKind)
async def test_every_kind_of_failure_is_understood(
    registry: ServiceRegistry, tmp_path: Path, kind: FailureKind
):
    tool = ScriptedTool(folder=tmp_path, failures=(kind,))
    registry.register("tool", tool.config(**NO_RETRY))
    result = await registry.execute("tool", "x")
    assert result.failure is not None
    assert result.failure.kind is kind


async def test_its_rate_limit_holds_over_all_processes(registry: ServiceRegistry, tmp_path: Path):
    tool = ScriptedTool(folder=tmp_path, rate_limit=RateLimit(3, per=60.0))
    for name in ("a", "b"):  # two services, one account
        registry.register(name, tool.config(name, **NO_RETRY))
    results = [await registry.execute("ab"[n % 2], "x") for n in range(4)]
    assert [result.success for result in results] == [True, True, True, False]
    failure = results[3].failure
    assert failure is not None
    assert failure.kind is FailureKind.RATE_LIMITED
    assert 0 < (failure.retry_after or 0) <= 60
    assert [run.refused for run in tool.runs()] == [False, False, False, True]


async def test_its_rate_limit_slides(registry: ServiceRegistry, tmp_path: Path):
    tool = ScriptedTool(folder=tmp_path, rate_limit=RateLimit(1, per=0.3))
    registry.register("tool", tool.config())
    assert (await registry.execute("tool", "x")).success
    assert (await registry.execute("tool", "x")).success  # as soon as it is allowed
    first, *_, last = (run.at for run in tool.runs() if not run.refused)
    assert last - first >= 0.29


async def test_it_speaks_in_pieces(registry: ServiceRegistry):
    tool = ScriptedTool(text="abcdefgh", pieces=4, latency=0.4)
    registry.register("tool", tool.config())
    async with registry.stream("tool", "x") as stream:
        heard = [event.text async for event in stream if isinstance(event, TextDelta)]
    assert heard == ["ab", "cd", "ef", "gh"]
    assert stream.result is not None
    assert stream.result.text == "abcdefgh"
    assert stream.result.duration >= 0.4


async def test_what_it_writes_as_it_is_is_read_by_the_general_rules(registry: ServiceRegistry):
    tool = ScriptedTool(stdout="", stderr="429 Too Many Requests", exit_code=3)
    registry.register("tool", tool.config(**NO_RETRY))
    result = await registry.execute("tool", "x")
    assert (result.exit_code, result.stderr) == (3, "429 Too Many Requests")
    assert result.failure is not None
    assert result.failure.kind is FailureKind.RATE_LIMITED
    registry.register("tool", ScriptedTool(stdout="plain").config(), replace=True)
    assert (await registry.execute("tool", "x")).stdout == "plain"


async def test_what_is_to_be_filled_in_elsewhere_is_said_as_it_stands(registry: ServiceRegistry):
    registry.register("tool", ScriptedTool(text="{tmpdir} {model}").config())
    assert (await registry.execute("tool", "x")).text == "{tmpdir} {model}"


@pytest.mark.parametrize("length", [140_000, 3_000_000])
async def test_its_script_may_be_of_any_length(registry: ServiceRegistry, length: int):
    text = "{tmpdir} é" + "x" * length
    registry.register("tool", ScriptedTool(text=text, stderr="y" * length).config())
    result = await registry.execute("tool", "x")
    assert (result.text == text, result.stderr == "y" * length) == (True, True)


async def test_a_long_script_stands_in_the_folder_it_was_given(
    registry: ServiceRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    tool = ScriptedTool(text="x" * 140_000, folder=Path())
    registry.register("tool", tool.config())
    assert len((await registry.execute("tool", "x", cwd="/")).text) == 140_000
    assert [path.suffix for path in tmp_path.iterdir() if path.name != "runs.jsonl"] == [".json"]


def test_a_long_script_without_a_folder_is_removed_at_the_end(tmp_path: Path):
    program = """
import os, sys
from leyline.testing import ScriptedTool

where = ScriptedTool(text="x" * 140_000).config().env["LEYLINE_SCRIPT"]
if os.fork() == 0:
    sys.exit()
os.wait()
print(os.path.getsize(where) > 140_000)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environment, text=True) == "True\n"
    assert list(tmp_path.iterdir()) == []


async def test_it_can_be_hard_to_stop(registry: ServiceRegistry, tmp_path: Path):
    tool = ScriptedTool(folder=tmp_path, latency=60.0, ignores_sigterm=True)
    registry.register("tool", tool.config(grace_seconds=0.3))
    result = await registry.execute("tool", "x", timeout=2.0)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.TIMEOUT
    (run,) = tool.runs()
    assert is_alive(run.pid)  # it was asked
    assert await until_dead([run.pid]) >= 0.1  # and then made to


@pytest.mark.parametrize("detached", [False, True])
async def test_what_outlives_it_is_stopped(tmp_path: Path, detached: bool):
    tool = ScriptedTool(folder=tmp_path, grandchildren=2, grandchildren_detached=detached)
    async with ServiceRegistry(":memory:") as registry:
        registry.register("tool", tool.config())
        with anyio.fail_after(30):
            assert (await registry.execute("tool", "x")).success  # waits for none of them
    (run,) = tool.runs()
    assert len(run.grandchildren) == 2
    await until_dead(list(run.grandchildren))


def test_what_has_to_be_counted_needs_a_folder():
    for wrong in ({"failures": ("auth",)}, {"rate_limit": RateLimit(1)}):
        with pytest.raises(ValueError, match="folder"):
            ScriptedTool(**wrong)
    with pytest.raises(ValueError, match="folder"):
        ScriptedTool().runs()


def test_it_is_a_program_of_its_own():
    command = [sys.executable, "-m", "leyline.testing.tool", json.dumps({"text": "hello"})]
    said = subprocess.run(command, input="x", capture_output=True, text=True, check=True)
    assert json.loads(said.stdout.splitlines()[0]) == {"piece": "hello"}


def test_it_loads_next_to_nothing():
    config = ScriptedTool().config()
    program = config.command_template.split("'")[1]
    code = f"import runpy, sys; sys.stdin.close; runpy.run_path({program!r}); print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    loaded = subprocess.check_output(command, text=True, env=dict(os.environ)).split()
    assert not {"leyline", "anyio", "attr", "asyncio", "argparse", "random", "signal"} & {*loaded}
