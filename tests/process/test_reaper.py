"""Where nothing can be looked at, or nothing helps: who is condemned stays so, others go on."""

import errno
import os
from pathlib import Path
from signal import SIGKILL, SIGTERM

import anyio
import pytest

from leyline.clock import SYSTEM_CLOCK
from leyline.process import Lifespan, guardian
from leyline.process.guardian import Process
from leyline.process.ladder import KILL_LIMIT
from leyline.process.reaper import Reaper
from tests.process.conftest import PROGRAMS, no_descriptors, run_with
from tests.processes import is_alive, read_pids, until_dead
from tests.virtual import VIRTUAL_CLOCK, run_virtual

pytestmark = pytest.mark.anyio

STUBBORN = str(PROGRAMS / "stubborn.sh")


async def test_where_no_descriptor_is_left_others_run_on_and_the_tree_ends_later(
    lifespan: Lifespan, tmp_path: Path
):
    path = tmp_path / "pids"
    codes: list[int | None] = []

    async def bystander() -> None:
        completed = await run_with(lifespan.runner, "/bin/sh", "-c", "sleep 1; exit 7")
        codes.append(completed.exit_code)

    async with anyio.create_task_group() as group:
        group.start_soon(bystander)
        with anyio.CancelScope() as scope:
            group.start_soon(read_then_cancel, path, scope)
            await run_with(lifespan.runner, STUBBORN, str(path), grace=0.05)
        with no_descriptors():
            while not codes:
                await anyio.sleep(0.01)
    assert codes == [7]
    pids = await read_pids(path)
    assert len(pids) == 3
    await until_dead(pids)
    assert (await run_with(lifespan.runner, "/bin/true")).exit_code == 0


async def read_then_cancel(path: Path, scope: anyio.CancelScope) -> None:
    await read_pids(path)
    scope.cancel()


def test_what_could_not_be_looked_at_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch):
    """The list of processes was read, and then somebody took the last descriptor."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            guardian.scan()


def test_where_processes_may_not_be_looked_at_none_is_seen(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        assert guardian.scan() == []


async def test_closing_waits_until_it_can_look_for_what_was_left(tmp_path: Path, temporary: Path):
    path = tmp_path / "pids"
    closed = anyio.Event()

    async def close(lifespan: Lifespan) -> None:
        await lifespan.runner.aclose()
        closed.set()

    async with Lifespan(SYSTEM_CLOCK) as lifespan, anyio.create_task_group() as group:
        script = f"setsid sleep 612 & echo $! > {path}"
        await run_with(lifespan.runner, "/bin/sh", "-c", script)
        (pid,) = await read_pids(path)
        with no_descriptors():
            group.start_soon(close, lifespan)
            await anyio.sleep(0.3)
            assert not closed.is_set()
        await closed.wait()
        assert not is_alive(pid)


def test_a_tree_that_cannot_be_killed_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """As one that is stuck in the kernel; nobody could ever close a registry."""
    stuck = Process(pid=4_194_000, parent=1, group=4_194_000, session=4_194_000, runs=("r.1",))
    signals: list[object] = []
    monkeypatch.setattr(
        guardian, "scan", lambda: [stuck] if VIRTUAL_CLOCK.monotonic() < 100 else []
    )
    monkeypatch.setattr(guardian, "send", lambda _, number: signals.append(number))
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    ended: list[str] = []

    async def main() -> float:
        async with anyio.create_task_group() as group:
            ender = Reaper(group, VIRTUAL_CLOCK, lambda run: run == "r.1", ended.append)
            assert ender.sweep(grace=1.0) == {"r.1"}
            assert not ender.idle
        return VIRTUAL_CLOCK.monotonic()

    assert KILL_LIMIT + 1.0 <= run_virtual(main) < KILL_LIMIT + 2.0
    assert (signals[0], set(signals[1:])) == (SIGTERM, {SIGKILL})
    assert ended == ["r.1"]
    assert "4194000" in caplog.text
