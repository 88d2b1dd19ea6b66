"""Whoever listens hears every byte in its order, while the process runs, and can end it."""

import logging
import os
import sys
from pathlib import Path

import anyio
import pytest
from attrs import define, field

from leyline.model import Command, StopReason
from leyline.process import Lifespan, capture
from leyline.process.child import Child
from leyline.process.tail import Tail
from tests.process.conftest import Run, run_with
from tests.processes import is_alive, read_pids, until_dead

pytestmark = pytest.mark.anyio


@define
class Heard:
    """Remembers what it hears. stop_at: Words on standard error at which it gives up."""

    out: bytes = b""
    err: bytes = b""
    pieces: int = 0
    stop_at: bytes | None = None
    changed: anyio.Event = field(factory=anyio.Event)

    def stdout(self, data: bytes) -> bool:
        self.out += data
        self.pieces += 1
        self.changed.set()
        return False

    def stderr(self, data: bytes) -> bool:
        self.err += data
        self.changed.set()
        return self.stop_at is not None and self.stop_at in self.err


async def test_ten_megabytes_in_small_writes_are_heard_whole_and_in_order(run: Run):
    writes = "import os\nfor i in range(100_000): os.write(1, b'%099d\\n' % i)"
    heard = Heard()
    completed = await run(sys.executable, "-c", writes, listener=heard)
    assert len(heard.out) == 10_000_000
    assert heard.out == completed.stdout
    assert heard.pieces > 1


async def test_both_streams_are_heard_apart(run: Run):
    heard = Heard()
    await run("/bin/sh", "-c", "echo out; echo err >&2; echo out", listener=heard)
    assert (heard.out, heard.err) == (b"out\nout\n", b"err\n")


async def test_words_are_heard_while_the_process_waits_for_what_they_lead_to(run: Run, tmp_path):
    """The program does not end before somebody has heard its first line."""
    go_on = tmp_path / "go_on"
    script = f"echo first; while [ ! -e {go_on} ]; do sleep 0.01; done; echo second"
    heard = Heard()

    async def answer() -> None:
        await heard.changed.wait()
        assert heard.out == b"first\n"
        go_on.touch()

    async with anyio.create_task_group() as group:
        group.start_soon(answer)
        completed = await run("/bin/sh", "-c", script, listener=heard)
    assert completed.exit_code == 0
    assert heard.out == b"first\nsecond\n"


async def test_what_a_short_process_wrote_is_heard_before_its_result_is_there(run: Run):
    for _ in range(20):
        heard = Heard()
        await run("/bin/echo", "x", listener=heard)
        assert heard.out == b"x\n"


async def test_a_listener_that_gives_up_ends_the_tree(run: Run, tmp_path: Path):
    pids = tmp_path / "pids"
    script = f'sleep 60 & echo "$$ $!" > {pids}; echo retrying >&2; wait'
    heard = Heard(stop_at=b"retrying")
    with anyio.fail_after(20):
        completed = await run("/bin/sh", "-c", script, listener=heard, grace=0.1)
    assert (completed.stopped, completed.exit_code) == (StopReason.GIVEN_UP, None)
    assert completed.stderr == heard.err == b"retrying\n"
    await until_dead(await read_pids(pids))


async def test_giving_up_on_a_process_that_has_ended_changes_nothing(tmp_path: Path):
    command = Command(argv=("/bin/sh", "-c", "echo x >&2"), env={}, tmpdir=str(tmp_path))
    child, heard = Child.start("run", "svc", command), Heard(stop_at=b"x")
    try:
        child.listen(heard)
        child.process.wait(20)
        assert child.reason_to_stop() is None
        assert heard.err == b"x\n"
    finally:
        child.close()


@pytest.mark.parametrize(
    ("script", "fields", "reason"),
    [
        ("echo x; sleep 60", {"timeout": 0.5}, StopReason.TIMEOUT),
        ("echo x; cat /dev/zero", {"max_output": 100_000}, StopReason.OUTPUT_TOO_LARGE),
    ],
)
async def test_a_stopped_process_has_been_heard_up_to_its_cap(run: Run, script, fields, reason):
    heard = Heard()
    completed = await run("/bin/sh", "-c", script, listener=heard, grace=0.0, **fields)
    assert completed.stopped is reason
    assert heard.out.startswith(b"x\n")
    assert len(heard.out) == min(fields.get("max_output", 2), len(completed.stdout))


async def test_a_cancelled_run_ends_its_tree_and_is_heard_no_more(
    lifespan: Lifespan, tmp_path: Path
):
    pids, heard = tmp_path / "pids", Heard()
    script = f'echo "$$" > {pids}; while :; do echo tick; sleep 0.01; done'
    async with anyio.create_task_group() as group:
        group.start_soon(
            lambda: run_with(lifespan.runner, "/bin/sh", "-c", script, listener=heard, grace=0.1)
        )
        await heard.changed.wait()
        group.cancel_scope.cancel()
    said = heard.out
    (pid,) = await read_pids(pids)
    await until_dead([pid])
    assert not is_alive(pid)
    assert heard.out == said


class Broken(Heard):
    """Cannot hear what comes on standard output."""

    def stdout(self, data: bytes) -> bool:
        super().stdout(data)
        raise ValueError("cannot hear")


async def test_a_listener_that_raises_is_logged_once_and_the_run_goes_on(
    run: Run, caplog: pytest.LogCaptureFixture
):
    broken = Broken()
    with caplog.at_level(logging.ERROR, "leyline"):
        completed = await run("/bin/sh", "-c", "echo a; sleep 0.1; echo b", listener=broken)
    assert (completed.exit_code, completed.stdout) == (0, b"a\nb\n")
    assert (broken.out, len(caplog.records)) == (b"a\n", 1)


def test_a_listener_that_raises_hears_nothing_more_on_either_stream():
    streams = [capture.open_output(), capture.open_output()]
    broken = Broken()
    tail = Tail(*streams, cap=100, listener=broken)
    try:
        for stream in streams:
            os.write(stream, b"x")
        assert [tail.step(), tail.step()] == [False, False]
    finally:
        for stream in streams:
            os.close(stream)
    assert (broken.out, broken.err) == (b"x", b"")


async def test_a_program_that_opens_its_output_anew_is_heard_on(run: Run):
    script = "echo gone >&2; sleep 0.2; echo two > /dev/stderr; sleep 0.2; echo three >&2"
    heard = Heard()
    completed = await run("/bin/sh", "-c", script, listener=heard)
    assert heard.err.endswith(b"three\n")
    assert completed.stderr.endswith(b"three\n")


async def test_runs_that_nobody_listens_to_are_not_read_while_they_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise AssertionError("read for nobody")

    monkeypatch.setattr(Tail, "step", refuse)
    completed = await run("/bin/sh", "-c", "echo x; sleep 0.1")
    assert (completed.exit_code, completed.stdout) == (0, b"x\n")


async def test_many_are_heard_at_once_each_its_own(run: Run):
    heard = {number: Heard() for number in range(20)}
    async with anyio.create_task_group() as group:
        for number, listener in heard.items():

            async def one(number: int = number, listener: Heard = listener) -> None:
                script = f"echo {number}; sleep 0.05; echo {number}"
                await run("/bin/sh", "-c", script, listener=listener)

            group.start_soon(one)
    assert {n: h.out for n, h in heard.items()} == {n: b"%d\n%d\n" % (n, n) for n in heard}
