"""The facade: one call, done right."""

import asyncio
import inspect
import json
import logging
import os
import pickle
import shutil
import time
from pathlib import Path

import anyio
import pytest

from leyline import (
    Clock,
    CommandNotFoundError,
    ConfigError,
    ExecutionResult,
    FailureKind,
    HealthStatus,
    InvalidCallError,
    PromptTooLargeError,
    RegistryClosedError,
    ServiceConfig,
    ServiceExistsError,
    ServiceNotFoundError,
    ServiceRegistry,
)
from leyline.services import preset_names
from tests.processes import is_alive, read_pids, until_dead

pytestmark = pytest.mark.anyio

PROGRAMS = Path(__file__).parent / "programs"
STUBBORN = str(PROGRAMS / "stubborn.sh")
NASTY = "it's {x} $(id) \" --yolo"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of PATH in which every known tool is a program that records."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*preset_names(), "leyline-local"):
        (folder / name).symlink_to(PROGRAMS / "records.py")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record.json"))
    return folder


def record(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "record.json").read_text())


def shell(script: str, name: str = "svc", **fields: object) -> ServiceConfig:
    """A service that is a line of shell."""
    fields.setdefault("command_template", "{command} -c '" + script + "'")
    return ServiceConfig(name, "/bin/sh", **fields)


async def test_a_run_gives_everything_that_is_known_of_it():
    before = time.time()
    async with ServiceRegistry() as registry:
        registry.register("cat", ServiceConfig("cat", "cat", command_template="{command}"))
        result = await registry.execute("cat", "Hello there")
    assert (result.success, result.text, result.stdout) == (True, "Hello there", "Hello there")
    assert (result.exit_code, result.stderr, result.failure) == (0, "", None)
    assert (result.service, result.model, result.attempts) == ("cat", None, 1)
    assert before <= result.started_at <= time.time()
    assert result.queued >= 0
    assert result.duration > 0
    assert result.pid
    assert not result.usage.measured
    assert result.tokens_used == result.usage.total_tokens > 0
    assert result.usage.cost_usd is None
    assert pickle.loads(pickle.dumps(result)) == result


async def test_the_nasty_prompt_arrives_unchanged_through_the_seeds_template(tools, tmp_path):
    config = ServiceConfig("gemini", "gemini", command_template="gemini -p '{prompt}' {files}")
    file = tmp_path / "a file.py"
    file.write_text("x = 1")
    async with ServiceRegistry() as registry:
        registry.register("gemini", config)
        result = await registry.execute("gemini", NASTY, [file])
    assert result.success, result.failure
    assert record(tmp_path)["argv"][1:] == ["-p", NASTY, f"@{file}"]
    assert record(tmp_path)["stdin"] == ""


@pytest.mark.parametrize("name", preset_names())
async def test_the_nasty_prompt_arrives_unchanged_through_every_preset(tools, tmp_path, name):
    async with ServiceRegistry() as registry:
        registry.register(
            name, ServiceConfig(name, name if name != "local" else "leyline-local", preset=name)
        )
        await registry.execute(name, NASTY)
    given = record(tmp_path)
    assert given["stdin"] == NASTY
    assert not [argument for argument in given["argv"] if NASTY in argument]
    assert given["env"]["NO_COLOR"] == "1"
    assert not Path(given["env"]["TMPDIR"]).exists()


async def test_an_unknown_command_without_a_template_gets_the_prompt_as_an_argument(tmp_path):
    tool = tmp_path / "mytool"
    shutil.copy(PROGRAMS / "records.py", tool)
    async with ServiceRegistry() as registry:
        registry.register(
            "mine", ServiceConfig("mine", str(tool), env={"RECORD": str(tmp_path / "record.json")})
        )
        result = await registry.execute("mine", NASTY)
    assert result.text == "fine"
    assert record(tmp_path)["argv"][1:] == ["-p", NASTY]


async def test_a_service_sees_its_own_key_and_no_other(tools, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KEY_ONE", "first-secret-value")
    monkeypatch.setenv("KEY_TWO", "second-secret-value")
    monkeypatch.setenv("COMPLAINT", "bad key first-secret-value!")
    monkeypatch.setenv("ANSWER", "your key is first-secret-value.")
    one = ServiceConfig(
        "one", "gemini", "api_key", "KEY_ONE", preset="", command_template="{command}"
    )
    two = ServiceConfig("two", "claude", "api_key", "KEY_TWO", preset="")
    async with ServiceRegistry() as registry:
        registry.register("one", one)
        registry.register("two", two)
        result = await registry.execute("one", "hi")
        reports = await registry.health_check_all()
    given = record(tmp_path)["env"]
    assert given["KEY_ONE"] == "first-secret-value"
    assert "KEY_TWO" not in given
    assert result.text == "your key is [redacted]."
    assert result.stderr == "bad key [redacted]!"
    said = f"{result!r} {result.stdout} {result.stderr} {result.failure} {registry!r} {reports!r}"
    said += repr(dict(registry.services)) + caplog.text
    assert "secret-value" not in said


async def test_a_key_in_an_error_of_the_tool_is_redacted(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    config = shell(
        'echo "key $MY_KEY is wrong" >&2; exit 1', auth_method="api_key", auth_env_var="MY_KEY"
    )
    async with ServiceRegistry() as registry:
        registry.register("svc", config)
        result = await registry.execute("svc", "hi")
    assert result.failure is not None
    assert "sk-very-secret" not in repr(result) + result.stderr + result.failure.message
    assert "[redacted]" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"service": "sv"}, ServiceNotFoundError, 'no service "sv"; did you mean "svc"'),
        ({"prompt": "  \n"}, InvalidCallError, "svc: the prompt is empty"),
        ({"files": ["gone.txt"]}, InvalidCallError, 'file "gone.txt" does not exist'),
        ({"files": ["/"]}, InvalidCallError, 'file "/" is a directory'),
        ({"model": "bigg"}, InvalidCallError, 'unknown model "bigg"; did you mean "big"'),
        ({"timeout": 0}, InvalidCallError, "positive number of seconds"),
        ({"cwd": "/no/such/folder"}, InvalidCallError, "working directory"),
        ({"prompt": "--yolo"}, InvalidCallError, "would be read as an option"),
        ({"prompt": "x" * 131_072}, PromptTooLargeError, "standard input"),
        ({"prompt": "\ud800"}, InvalidCallError, "surrogate"),
    ],
)
async def test_a_wrong_call_says_what_to_do_and_starts_nothing(arguments, error, message, tmp_path):
    started = tmp_path / "started"
    config = ServiceConfig(
        "svc",
        "/usr/bin/touch",
        models=("big", "small"),
        command_template=f"{{command}} {started} {{prompt}}",
    )
    async with ServiceRegistry() as registry:
        registry.register("svc", config)
        with pytest.raises(error, match=message):
            await registry.execute(**{"service": "svc", "prompt": "hi", **arguments})
    assert not started.exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-tool", "was not found on PATH; install it"),
        ("{tmp}", "is a directory"),
        ("{tmp}/plain", "is not executable"),
    ],
)
async def test_a_command_that_cannot_run_says_why(tmp_path, command, message):
    (tmp_path / "plain").write_text("text")
    async with ServiceRegistry() as registry:
        registry.register("svc", ServiceConfig("svc", command.replace("{tmp}", str(tmp_path))))
        with pytest.raises(CommandNotFoundError, match=message):
            await registry.execute("svc", "hi")


async def test_a_model_that_the_tool_never_heard_of_is_not_said_to_have_answered():
    async with ServiceRegistry() as registry:
        for name, template in (("told", "echo {model}"), ("untold", "echo hi")):
            config = ServiceConfig(name, "echo", command_template=template, default_model="m1")
            registry.register(name, config)
        assert (await registry.execute("told", "hi")).model == "m1"
        told = await registry.execute("told", "hi", model="m2")
        untold = await registry.execute("untold", "hi", model="m2")
    assert (told.model, told.text, untold.model) == ("m2", "m2", None)


async def test_registering_twice_is_an_error_unless_it_replaces():
    registry = ServiceRegistry()
    registry.register("a", ServiceConfig("a", "cat"))
    with pytest.raises(ServiceExistsError, match="replace=True"):
        registry.register("a", ServiceConfig("a", "tac"))
    registry.register("a", ServiceConfig("a", "tac"), replace=True)
    assert registry.services["a"].command == "tac"
    registry.unregister("a")
    assert dict(registry.services) == {}
    with pytest.raises(ServiceNotFoundError):
        registry.unregister("a")


def test_a_wrong_configuration_is_refused_with_every_problem():
    registry = ServiceRegistry()
    config = ServiceConfig(
        "a",
        "cat",
        "apikey",
        quota_limits={"rpm": "sixty"},
        timeout_seconds=-1,
        command_template="cat {promt}",
    )
    with pytest.raises(ConfigError) as caught:
        registry.register("a", config)
    assert len(caught.value.problems) == 4
    assert dict(registry.services) == {}


def test_a_registry_from_a_file_takes_all_that_the_class_does(tmp_path):
    own = inspect.signature(ServiceRegistry).parameters
    of_file = inspect.signature(ServiceRegistry.from_config).parameters
    assert list(of_file) == ["path", *own]
    assert [of_file[name].default for name in own] == [own[name].default for name in own]
    (tmp_path / "services.yaml").write_text("services: {}")
    clock = Clock(wall=lambda: 5.0)
    path = tmp_path / "services.yaml"
    registry = ServiceRegistry.from_config(path, ":memory:", keep_prompts=True, clock=clock)
    assert (registry._clock, registry._book.keep_prompts) == (clock, True)


async def test_the_registered_name_is_the_name_everywhere():
    async with ServiceRegistry() as registry:
        registry.register("mine", ServiceConfig("other", "false"))
        result = await registry.execute("mine", "hi")
    assert result.service == "mine"


async def test_our_time_out_is_a_result_with_what_was_said_so_far(tmp_path):
    pids = tmp_path / "pids"
    config = ServiceConfig(
        "svc", STUBBORN, command_template=f"{{command}} {pids}", grace_seconds=0.05
    )
    async with ServiceRegistry() as registry:
        registry.register("svc", config)
        result = await registry.execute("svc", "hi", timeout=0.3)
        assert result.failure is not None
        assert (result.failure.kind, result.exit_code) == (FailureKind.TIMEOUT, -1)
        await until_dead(await read_pids(pids))


async def test_one_line_without_end_is_a_typed_failure():
    async with ServiceRegistry() as registry:
        config = shell("head -c 100000000 /dev/zero", timeout_seconds=None)
        registry.register("svc", config)
        result = await registry.execute("svc", "hi")
    assert result.failure is not None
    assert result.failure.kind is FailureKind.OUTPUT_TOO_LARGE
    assert len(result.stdout) < 3_000_000


async def test_no_time_out_means_no_limit_and_the_services_own_is_the_default():
    async with ServiceRegistry() as registry:
        registry.register("svc", shell("sleep 0.5; echo late", timeout_seconds=0.1))
        assert (await registry.execute("svc", "hi")).failure.kind is FailureKind.TIMEOUT
        assert (await registry.execute("svc", "hi", timeout=None)).text == "late"


async def test_without_async_with_a_call_cleans_up_before_it_returns(tmp_path):
    pids = tmp_path / "pids"
    registry = ServiceRegistry()
    registry.register(
        "svc",
        ServiceConfig("svc", STUBBORN, grace_seconds=0.05, command_template=f"{{command}} {pids}"),
    )
    result = await registry.execute("svc", "hi", timeout=0.3)
    assert result.failure.kind is FailureKind.TIMEOUT
    assert not any(is_alive(pid) for pid in await read_pids(pids))


async def test_without_async_with_a_cancelled_call_cleans_up_before_it_returns(tmp_path):
    pids = tmp_path / "pids"
    registry = ServiceRegistry()
    registry.register(
        "svc",
        ServiceConfig("svc", STUBBORN, grace_seconds=0.05, command_template=f"{{command}} {pids}"),
    )
    task = asyncio.ensure_future(registry.execute("svc", "hi"))
    alive = await read_pids(pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(is_alive(pid) for pid in alive)


async def test_a_closed_registry_ends_calls_with_a_result_and_starts_nothing_more():
    results: list[ExecutionResult] = []
    registry = ServiceRegistry()
    registry.register("svc", shell("echo some; sleep 600", timeout_seconds=None))

    async def call() -> None:
        results.append(await registry.execute("svc", "hi"))

    async with anyio.create_task_group() as group, registry:
        group.start_soon(call)
        await anyio.sleep(0.3)
    assert [result.failure.kind for result in results] == [FailureKind.CANCELLED]
    assert results[0].stdout == "some\n"
    with pytest.raises(RegistryClosedError):
        await registry.execute("svc", "hi")
    with pytest.raises(RegistryClosedError):
        await registry.__aenter__()


async def test_aclose_inside_the_block_is_fine():
    async with ServiceRegistry() as registry:
        registry.register("svc", shell("echo hi"))
        assert (await registry.execute("svc", "hi")).text == "hi"
        await registry.aclose()
        with pytest.raises(RegistryClosedError):
            await registry.execute("svc", "hi")


async def test_an_exception_of_the_block_arrives_as_itself():
    with pytest.raises(ZeroDivisionError):
        async with ServiceRegistry() as registry:
            registry.register("svc", shell("echo hi"))
            await registry.execute("svc", "hi")
            raise ZeroDivisionError


async def test_parallel_gives_one_result_a_service_and_never_raises_for_one():
    async with ServiceRegistry() as registry:
        registry.register("good", shell("sleep 0.2; echo good"))
        registry.register("bad", shell("echo broken >&2; exit 3"))
        registry.register("gone", ServiceConfig("gone", "no-such-tool"))
        results = await registry.execute_parallel(["gone", "good", "unknown", "bad", "good"], "hi")
    assert list(results) == ["gone", "good", "unknown", "bad"]
    assert results["good"].text == "good"
    kinds = {name: r.failure.kind for name, r in results.items() if r.failure}
    assert kinds == {
        "gone": FailureKind.NOT_FOUND,
        "unknown": FailureKind.NOT_FOUND,
        "bad": FailureKind.CRASHED,
    }
    assert (results["gone"].attempts, results["bad"].attempts) == (0, 3)


async def test_many_at_once_are_all_answered():
    async with ServiceRegistry() as registry:
        registry.register("cat", ServiceConfig("cat", "cat", command_template="{command}"))
        answers: dict[int, str] = {}

        async def ask(number: int) -> None:
            answers[number] = (await registry.execute("cat", f"prompt {number}")).text

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(ask, number)
    assert answers == {number: f"prompt {number}" for number in range(60)}


async def test_files_go_in_as_the_service_takes_them(tmp_path):
    (tmp_path / "one.txt").write_text("content one")
    (tmp_path / "two 2.txt").write_bytes(b"\xff\xfe")
    async with ServiceRegistry() as registry:
        for via in ("inline", "reference"):
            registry.register(
                via, ServiceConfig(via, "cat", command_template="{command}", files_via=via)
            )
        inline = await registry.execute("inline", "look", ["one.txt"], cwd=tmp_path)
        assert inline.text == "look\n\n--- one.txt ---\ncontent one"
        reference = await registry.execute("reference", "look", ["two 2.txt"], cwd=tmp_path)
        assert reference.text == "look\n\n@two\\ 2.txt"
        with pytest.raises(InvalidCallError, match="is not text"):
            await registry.execute("inline", "look", ["two 2.txt"], cwd=tmp_path)


async def test_fifty_health_checks_of_a_second_each_run_at_the_same_time():
    async with ServiceRegistry() as registry:
        for number in range(50):
            registry.register(f"s{number}", shell("x", health_check_cmd="sleep 1"))
        started = time.monotonic()
        reports = await registry.health_check_all()
        seconds = time.monotonic() - started
    assert all(reports.values())
    assert list(reports) == [f"s{number}" for number in range(50)]
    assert seconds < 10.0  # one after the other: 50


async def test_a_thousand_callers_start_one_check_and_the_first_may_leave(tmp_path):
    count = tmp_path / "count"
    async with ServiceRegistry() as registry:
        registry.register(
            "svc", shell("x", health_check_cmd=f"sh -c 'echo x >> {count}; sleep 0.5'")
        )
        first = asyncio.ensure_future(registry.health_check("svc"))
        reports = []

        async def ask() -> None:
            reports.append(await registry.health_check("svc"))

        async with anyio.create_task_group() as group:
            for _ in range(999):
                group.start_soon(ask)
            await anyio.sleep(0.1)
            first.cancel()
    assert first.cancelled()
    assert len(reports) == 999
    assert all(reports)
    assert count.read_text() == "x\n"


async def test_a_hanging_check_is_killed_with_its_group_when_nobody_waits(tmp_path):
    pids = tmp_path / "pids"
    async with ServiceRegistry() as registry:
        registry.register(
            "svc", shell("x", health_check_cmd=f"{STUBBORN} {pids}", grace_seconds=0.05)
        )
        with anyio.move_on_after(0.5):
            await registry.health_check("svc")
        await until_dead(await read_pids(pids))


async def test_what_calls_show_feeds_the_board(tmp_path):
    switch = tmp_path / "broken"
    config = shell(f"if [ -e {switch} ]; then exit 1; fi; echo fine", retry=None)
    async with ServiceRegistry() as registry:
        registry.register("svc", config)
        assert registry.health("svc").status is HealthStatus.UNKNOWN
        assert registry.get_healthy_services() == ["svc"]
        await registry.execute("svc", "hi")
        assert registry.health("svc").status is HealthStatus.HEALTHY
        switch.touch()
        for _ in range(3):
            await registry.execute("svc", "hi")
        assert registry.health("svc").status is HealthStatus.UNHEALTHY
        assert registry.get_healthy_services() == []


async def test_a_missing_tool_is_unhealthy_and_says_what_to_do():
    async with ServiceRegistry() as registry:
        registry.register("svc", ServiceConfig("svc", "no-such-tool"))
        report = await registry.health_check("svc")
    assert not report
    assert report.installed is False
    assert "no-such-tool" in report.reason


async def test_the_monitor_checks_by_itself_and_ends_with_the_registry(tmp_path):
    count = tmp_path / "count"
    async with ServiceRegistry() as registry:
        registry.register("svc", shell("x", health_check_cmd=f"sh -c 'echo x >> {count}'"))
        registry.start_health_monitor(interval=0.1)
        with anyio.fail_after(30):
            while not count.exists() or len(count.read_text().split()) < 3:
                await anyio.sleep(0.02)
        assert registry.health("svc").status is HealthStatus.HEALTHY
    seen = count.read_text()
    await anyio.sleep(0.3)
    assert count.read_text() == seen


async def test_a_monitor_needs_a_block_and_an_interval():
    registry = ServiceRegistry()
    with pytest.raises(RegistryClosedError):
        registry.start_health_monitor()
    async with registry:
        with pytest.raises(ValueError, match="positive number of seconds"):
            registry.start_health_monitor(interval=0)


async def test_what_a_replaced_service_did_is_not_held_against_its_successor():
    async with ServiceRegistry() as registry:
        registry.register("svc", shell("sleep 0.5; echo not logged in: 401 >&2; exit 1"))
        async with anyio.create_task_group() as group:
            group.start_soon(registry.execute, "svc", "hi")
            await anyio.sleep(0.1)
            registry.register("svc", shell("echo hi"), replace=True)
        assert registry.health("svc").status is HealthStatus.UNKNOWN


async def test_a_limit_met_by_a_live_check_is_kept_until_its_time():
    async with ServiceRegistry() as registry:
        registry.register("svc", shell("echo 429 try again in 1h >&2; exit 1"))
        report = await registry.health_check("svc", live=True)
        assert report.status is HealthStatus.DEGRADED
        known = registry.health("svc")
    assert (known.status, bool(known)) == (HealthStatus.DEGRADED, True)
    assert "1h" in known.reason


async def test_a_live_check_asks_a_real_prompt():
    async with ServiceRegistry() as registry:
        registry.register("good", shell("cat"))
        registry.register("bad", shell("exit 1"))
        assert (await registry.health_check("good")).live is None
        assert (await registry.health_check("good", live=True)).live is True
        report = await registry.health_check("bad", live=True)
    assert report.live is False
    assert not report
