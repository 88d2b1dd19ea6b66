"""However a run is left, the caller is back at once and nothing of the tree lives."""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from leyline.clock import SYSTEM_CLOCK
from leyline.errors import RegistryClosedError
from leyline.model import Command, Completed, StopReason
from leyline.process import Lifespan
from tests.process.conftest import PROGRAMS, Run, run_with
from tests.processes import is_alive, open_descriptors, read_pids, until_dead

pytestmark = pytest.mark.anyio

STUBBORN = str(PROGRAMS / "stubborn.sh")
GRACE = 0.05
Start = Callable[[], Awaitable[Completed]]
Ready = Callable[[], Awaitable[object]]


async def stopped_by_scope(start: Start, ready: Ready) -> float:
    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await ready()
        began = time.monotonic()
        group.cancel_scope.cancel()
    return time.monotonic() - began


async def stopped_by_task_cancel(start: Start, ready: Ready) -> float:
    task = asyncio.ensure_future(start())
    await ready()
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - began


async def stopped_by_asyncio_timeout(start: Start, ready: Ready) -> float:
    began = 0.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:

            async def expire() -> None:
                nonlocal began
                await ready()
                began = time.monotonic()
                timeout.reschedule(asyncio.get_running_loop().time())

            watch = asyncio.ensure_future(expire())
            await start()
    await watch
    return time.monotonic() - began


MODES = [stopped_by_scope, stopped_by_task_cancel, stopped_by_asyncio_timeout]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stop", MODES)
async def test_a_cancelled_caller_is_back_at_once_and_the_stubborn_tree_ends(
    stop, lifespan: Lifespan, tmp_path: Path
):
    """One that ignores SIGTERM, a grandchild in its group and one in a session of its own."""
    back: list[float] = []
    descriptors = threads = 0
    for number in range(100):
        path = tmp_path / str(number)
        back.append(
            await stop(
                lambda path=path: run_with(lifespan.runner, STUBBORN, str(path), grace=GRACE),
                lambda path=path: read_pids(path),
            )
        )
        pids = await read_pids(path)
        assert len(pids) == 3
        await until_dead(pids)
        with anyio.fail_after(10):
            while not lifespan.runner.idle:
                await anyio.sleep(0.005)
        if number == 0:
            descriptors, threads = open_descriptors(), threading.active_count()
    assert statistics.median(back) < 0.05
    assert (open_descriptors(), threading.active_count()) == (descriptors, threads)


@pytest.mark.timeout(300)
async def test_our_time_out_gives_a_result_at_once_and_the_stubborn_tree_ends(
    lifespan: Lifespan, tmp_path: Path
):
    late: list[float] = []
    for number in range(100):
        path = tmp_path / str(number)
        completed = await run_with(lifespan.runner, STUBBORN, str(path), grace=GRACE, timeout=0.1)
        late.append(completed.duration - 0.1)
        assert completed.stopped is StopReason.TIMEOUT
        assert completed.exit_code is None
        await until_dead(await read_pids(path))
    assert statistics.median(late) < 0.05


@pytest.mark.timeout(300)
async def test_leaving_the_lifespan_ends_every_run_and_waits_for_the_trees(tmp_path: Path):
    back: list[float] = []
    for number in range(100):
        results: list[Completed] = []
        ended = 0.0
        path = tmp_path / str(number)
        async with anyio.create_task_group() as group:
            async with Lifespan(SYSTEM_CLOCK) as lifespan:

                async def caller(lifespan=lifespan, path=path, results=results) -> None:
                    nonlocal ended
                    results.append(
                        await run_with(lifespan.runner, STUBBORN, str(path), grace=GRACE)
                    )
                    ended = time.monotonic()

                group.start_soon(caller)
                pids = await read_pids(path)
                began = time.monotonic()
            assert not any(is_alive(pid) for pid in pids)
        back.append(ended - began)
        assert [result.stopped for result in results] == [StopReason.CLOSED]
        with pytest.raises(RegistryClosedError):
            await run_with(lifespan.runner, "/bin/true")
    assert statistics.median(back) < 0.05


async def test_an_exception_leaves_the_lifespan_as_itself(tmp_path: Path):
    path = tmp_path / "pids"
    with pytest.raises(KeyError):
        async with Lifespan(SYSTEM_CLOCK) as lifespan:
            lifespan.group.start_soon(lambda: run_with(lifespan.runner, STUBBORN, str(path)))
            pids = await read_pids(path)
            raise KeyError
    assert not any(is_alive(pid) for pid in pids)


async def test_a_second_native_cancel_does_not_interrupt_the_ladder(tmp_path: Path):
    """task.cancel() pierces anyio's shields; the ladder must be where it cannot reach."""
    path = tmp_path / "pids"

    async def alone() -> None:
        async with Lifespan(SYSTEM_CLOCK) as lifespan:
            await run_with(lifespan.runner, STUBBORN, str(path), grace=0.3)

    task = asyncio.ensure_future(alone())
    pids = await read_pids(path)
    for _ in range(5):
        task.cancel()
        await anyio.sleep(0.03)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(is_alive(pid) for pid in pids)


async def test_a_stopped_process_is_ended(run: Run):
    completed = await run("/bin/sh", "-c", "kill -STOP $$", timeout=0.2, grace=0.1)
    assert completed.stopped is StopReason.TIMEOUT
    await until_dead([completed.pid])


async def test_a_descendant_that_cleared_its_environment_is_found_by_its_parents(
    run: Run, tmp_path: Path
):
    path = tmp_path / "pids"
    script = f"env -i setsid sleep 602 & echo $! > {path}; wait"
    completed = await run("/bin/sh", "-c", script, timeout=0.5, grace=0.05)
    assert completed.stopped is StopReason.TIMEOUT
    await until_dead(await read_pids(path))


async def test_what_left_its_session_and_outlived_a_good_run_is_swept(
    lifespan: Lifespan, tmp_path: Path
):
    path = tmp_path / "pids"
    script = f"setsid sleep 603 & echo $! > {path}"
    completed = await run_with(lifespan.runner, "/bin/sh", "-c", script)
    assert completed.exit_code == 0
    pids = await read_pids(path)
    await lifespan.runner.aclose()
    assert not any(is_alive(pid) for pid in pids)


async def test_what_outlived_a_good_run_is_swept_without_another_run(run: Run, tmp_path: Path):
    path = tmp_path / "pids"
    await run("/bin/sh", "-c", f"setsid sleep 604 & echo $! > {path}", grace=0.05)
    await until_dead(await read_pids(path))


async def test_the_folder_of_a_run_is_private_and_gone_afterwards(lifespan: Lifespan):
    workspace = lifespan.runner.workspace("svc")
    script = f'stat -c %a "{workspace.tmpdir}"; mkdir -p "{workspace.tmpdir}/a/b"'
    command = Command(argv=("/bin/sh", "-c", script), env={}, tmpdir=workspace.tmpdir)
    completed = await lifespan.runner.run("svc", workspace, command)
    assert completed.stdout == b"700\n"
    assert not Path(workspace.tmpdir).exists()


def test_killed_with_nine_our_children_die_too(tmp_path: Path):
    path = tmp_path / "pids"
    program = textwrap.dedent(f"""
        import anyio
        from leyline.clock import SYSTEM_CLOCK
        from leyline.process import Lifespan
        from tests.process.conftest import run_with

        async def main():
            async with Lifespan(SYSTEM_CLOCK) as lifespan:
                await run_with(lifespan.runner, {STUBBORN!r}, {str(path)!r})

        anyio.run(main)
    """)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=root)
    pids = anyio.run(read_pids, path)
    assert all(is_alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert anyio.run(until_dead, pids) < 5.0


def test_a_loop_that_shuts_down_leaves_nothing(tmp_path: Path):
    path = tmp_path / "pids"

    async def main() -> None:
        lifespan = Lifespan(SYSTEM_CLOCK)

        async def alone() -> None:
            async with lifespan:
                await run_with(lifespan.runner, STUBBORN, str(path), grace=0.1)

        task = asyncio.ensure_future(alone())
        await read_pids(path)
        assert not task.done()

    asyncio.run(main())
    assert not any(is_alive(pid) for pid in anyio.run(read_pids, path))


def test_nothing_is_left_of_the_folder_when_killed_with_nine(tmp_path: Path):
    program = textwrap.dedent("""
        import anyio, os, signal, sys
        from leyline.clock import SYSTEM_CLOCK
        from leyline.process import Lifespan
        from tests.process.conftest import run_with

        async def main():
            async with Lifespan(SYSTEM_CLOCK) as lifespan:
                await run_with(lifespan.runner, "/bin/true")
                await anyio.sleep(0.3)
                os.kill(os.getpid(), signal.SIGKILL)

        anyio.run(main)
    """)
    root = Path(__file__).parents[2]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], cwd=root, env=env, check=False)
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []
