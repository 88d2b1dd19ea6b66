"""Virtual time: it jumps to what comes, and says where nothing can come any more."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint, current_token

from leyline.clock import SYSTEM_CLOCK
from leyline.testing import EPOCH, VIRTUAL_CLOCK, run_virtual, running_clock


async def wait_for_nobody() -> None:
    await anyio.Event().wait()


def work() -> None:
    time.sleep(0.01)


FOR_EVER = pytest.mark.parametrize("wait", [wait_for_nobody, anyio.sleep_forever])


def test_days_pass_at_once_and_exactly():
    async def main() -> tuple[float, float]:
        await anyio.sleep(30 * 86_400.0)
        return anyio.current_time(), VIRTUAL_CLOCK.wall()

    assert run_virtual(main) == (30 * 86_400.0, EPOCH + 30 * 86_400.0)


@FOR_EVER
def test_who_waits_for_what_cannot_come_is_told(wait: Callable[[], Awaitable[None]]):
    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(wait)


@FOR_EVER
def test_a_wait_without_end_can_be_cancelled(wait: Callable[[], Awaitable[None]]):
    async def main() -> float:
        with anyio.move_on_after(3600.0):
            await wait()
        return anyio.current_time()

    assert run_virtual(main) == 3600.0


def test_a_wait_without_end_holds_up_no_other():
    async def main() -> float:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.sleep(10.0)
            group.cancel_scope.cancel()
        return anyio.current_time()

    assert run_virtual(main) == 10.0


@FOR_EVER
def test_a_worker_that_has_nothing_to_do_keeps_nobody_waiting(wait: Callable[[], Awaitable[None]]):
    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(anyio.to_thread.run_sync, work)
        await wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main)


def test_a_worker_that_is_at_work_is_waited_for():
    async def main() -> int:
        await anyio.to_thread.run_sync(work)
        return await anyio.to_thread.run_sync(lambda: time.sleep(0.3) or 7)

    assert run_virtual(main) == 7


def test_a_thread_is_waited_for_as_long_as_it_lives():
    async def main() -> None:
        woken = anyio.Event()
        token = current_token()

        def wake() -> None:
            time.sleep(0.3)
            anyio.from_thread.run_sync(woken.set, token=token)

        threading.Thread(target=wake).start()
        await woken.wait()
        threading.Thread(target=time.sleep, args=(0.3,)).start()  # wakes nobody
        await wait_for_nobody()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main)


def test_a_thread_that_wakes_and_ends_at_once_is_not_overlooked(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        woken, loop = anyio.Event(), asyncio.get_running_loop()

        def ended() -> bool:
            loop.call_soon_threadsafe(woken.set)
            return False

        monkeypatch.setattr("leyline.testing.virtual._may_be_woken", ended)
        await woken.wait()

    run_virtual(main)


def test_the_clock_is_that_of_the_loop():
    async def main() -> object:
        await checkpoint()
        return running_clock()

    assert run_virtual(main) is VIRTUAL_CLOCK
    assert anyio.run(main) is SYSTEM_CLOCK
    with pytest.raises(RuntimeError):
        running_clock()
