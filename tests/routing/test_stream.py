"""The answer as it grows: through the facade, with live processes."""

import asyncio
import os
import time
from pathlib import Path

import anyio
import pytest

from leyline import (
    CommandNotFoundError,
    FailureKind,
    Finished,
    QuotaExceededError,
    ServiceConfig,
    ServiceNotFoundError,
    ServiceRegistry,
    StreamConfig,
    TextDelta,
)

pytestmark = pytest.mark.anyio


def shell(script: str, **fields: object) -> ServiceConfig:
    return ServiceConfig(
        "svc", "sh", command_template=f"sh -c '{script}'", supports_files=False, **fields
    )


async def until_gone(pid_file: Path) -> None:
    with anyio.fail_after(30):
        while not pid_file.exists() or not pid_file.read_text().strip():
            await anyio.sleep(0.01)
        pid = int(pid_file.read_text())
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await anyio.sleep(0.01)


async def test_pieces_come_while_the_tool_still_runs_and_the_result_last(tmp_path: Path):
    go_on = tmp_path / "go_on"
    script = f"echo one; while [ ! -e {go_on} ]; do sleep 0.02; done; echo two"
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell(script))
        pieces: list[str] = []
        async with registry.stream("svc", "hi") as stream:
            async for event in stream:
                match event:
                    case TextDelta(text):
                        pieces.append(text)
                        go_on.touch()  # the second is written only when the first was heard
                    case Finished(result):
                        assert stream.result is result
    assert pieces[0] == "one"
    assert "".join(pieces) == result.text == "one\ntwo"
    assert result.success


async def test_leaving_early_stops_the_tool_behind_the_caller(tmp_path: Path):
    pid = tmp_path / "pid"
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell(f"echo $$ > {pid}; trap : TERM; echo one; sleep 60"))
        async with registry.stream("svc", "hi") as stream:
            async for _ in stream:
                break
            left = time.monotonic()
        assert time.monotonic() - left < 1.5  # though it ignores SIGTERM for two seconds
        await until_gone(pid)
    assert stream.result is None


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_a_caller_who_is_cancelled_stops_the_tool(how: str, tmp_path: Path):
    pid = tmp_path / "pid"
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell(f"echo $$ > {pid}; echo one; sleep 60"))
        heard = anyio.Event()

        async def listen() -> None:
            async with registry.stream("svc", "hi") as stream:
                async for _ in stream:
                    heard.set()

        if how == "scope":
            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                await heard.wait()
                group.cancel_scope.cancel()
        else:
            task = asyncio.create_task(listen())
            await heard.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await until_gone(pid)


async def test_where_nothing_ran_the_iteration_raises():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("gone", ServiceConfig("gone", "no-such-tool"))
        registry.register("full", shell("echo hi", quota_limits={"rpm": 1}))
        await registry.execute("full", "hi")
        for service, error in (("gone", CommandNotFoundError), ("full", QuotaExceededError)):
            async with registry.stream(service, "hi", deadline=1) as stream:
                with pytest.raises(error):
                    async for _ in stream:
                        pass
        with pytest.raises(ServiceNotFoundError):
            async with registry.stream("unknown", "hi"):
                pass


async def test_what_fails_before_its_first_piece_is_tried_again_and_nothing_after_it(
    tmp_path: Path,
):
    count = tmp_path / "count"
    async with ServiceRegistry(":memory:") as registry:
        registry.register("silent", shell(f"echo x >> {count}; exit 3"))
        registry.register("begun", shell("echo one; exit 3"))
        async with registry.stream("silent", "hi") as stream:
            events = [event async for event in stream]
        assert [type(event) for event in events] == [Finished]
        assert len(count.read_text().split()) == 3
        async with registry.stream("begun", "hi") as stream:
            events = [event async for event in stream]
    assert [type(event) for event in events] == [TextDelta, Finished]
    assert stream.result is not None
    assert stream.result.attempts == 1
    assert stream.result.failure is not None
    assert stream.result.failure.kind is FailureKind.CRASHED


def printing(**fields: object) -> ServiceConfig:
    return ServiceConfig("svc", "printf", command_template="printf {prompt}", **fields)


async def test_where_a_tool_cannot_be_seen_writing_its_answer_is_one_piece():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", printing(output={"format": "json", "text": "out.answer"}))
        async with registry.stream("svc", '{"answer": "all of it"}') as stream:
            events = [event async for event in stream]
    assert events[0] == TextDelta("all of it")
    assert len(events) == 2


async def test_without_async_with_the_tool_has_ended_when_the_block_is_left(tmp_path: Path):
    pid = tmp_path / "pid"
    registry = ServiceRegistry(":memory:")
    registry.register("svc", shell(f"echo $$ > {pid}; echo one; sleep 60"))
    async with registry.stream("svc", "hi") as stream:
        async for _ in stream:
            break
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_lines_of_json_give_the_pieces_that_the_configuration_names():
    lines = '{"t":"a"}\n{"x":1}\nnoise\n{"t":"b"}\n{"final":"ab"}\n'
    async with ServiceRegistry(":memory:") as registry:
        output = {"format": "jsonl", "text": "out[-1].final"}
        registry.register("svc", printing(output=output, stream=StreamConfig(text="t")))
        async with registry.stream("svc", lines.replace("\n", "\\n")) as stream:
            events = [event async for event in stream]
    assert events[:2] == [TextDelta("a"), TextDelta("b")]
    assert stream.result is not None
    assert stream.result.text == "ab"


async def test_who_listens_after_the_block_is_told_so():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("echo hi"))
        async with registry.stream("svc", "hi") as stream:
            pass
        with pytest.raises(RuntimeError, match="its block was left; iterate inside"):
            await anext(stream)
        async with registry.stream("svc", "hi") as stream:
            assert [event async for event in stream]
        assert [event async for event in stream] == []  # it had come to its end
