"""A slot is busy exactly as long as its tool lives, over processes, whatever becomes of us."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from leyline.clock import SYSTEM_CLOCK
from leyline.errors import LedgerError, QuotaExceededError
from leyline.process import Lifespan
from leyline.quota.slots import Slot, Slots
from tests.process.conftest import run_with
from tests.processes import is_alive, open_descriptors, until_dead
from tests.virtual import VIRTUAL_CLOCK, run_virtual

PROGRAM = str(Path(__file__).parents[1] / "programs" / "takes_slots.py")


class CountingSlots(Slots):
    """Counts how often the files are looked at."""

    looks = 0

    def _take_free(self) -> Slot | None:
        self.looks += 1
        return super()._take_free()


def start(folder: Path, count: int, runs: int, *command: str) -> subprocess.Popen[str]:
    argv = (sys.executable, PROGRAM, str(folder), str(count), str(runs), *command)
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def take_all(slots: Slots) -> list[Slot]:
    return list(iter(slots.try_take, None))


def release_all(taken: list[Slot]) -> None:
    for slot in taken:
        slot.release()


def test_there_are_as_many_slots_as_were_said(tmp_path: Path):
    first, second = Slots(tmp_path, "svc", 3), Slots(tmp_path, "svc", 3)
    taken = [first.try_take(), second.try_take(), first.try_take()]
    assert all(taken)
    assert first.try_take() is None
    assert second.try_take() is None
    release_all([slot for slot in taken if slot])
    again = take_all(second)
    assert len(again) == 3
    release_all(again)


@pytest.mark.parametrize("other", ["b", "a.0", "a/../a", "A B", "a" * 2000, "字" * 200])
def test_accounts_are_apart_whatever_they_are_called(tmp_path: Path, other: str):
    folder = tmp_path / "slots"
    taken = take_all(Slots(folder, "a", 1)) + take_all(Slots(folder, other, 1))
    assert len(taken) == 2
    assert take_all(Slots(folder, other, 1)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["slots"]
    assert len(list(folder.iterdir())) == 2
    release_all(taken)


def test_long_names_that_begin_alike_are_apart(tmp_path: Path):
    taken = [*take_all(Slots(tmp_path, "x" * 300 + "1", 1))]
    taken += take_all(Slots(tmp_path, "x" * 300 + "2", 1))
    assert len(taken) == 2
    release_all(taken)


def test_the_folder_is_made_for_us_alone_and_only_when_it_is_needed(tmp_path: Path):
    folder = tmp_path / "state" / "slots"
    slots = Slots(folder, "svc", 1)
    assert not folder.exists()
    release_all(take_all(slots))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


def test_a_file_that_was_left_behind_is_free(tmp_path: Path):
    (tmp_path / "svc.0").write_text("12345")
    taken = take_all(Slots(tmp_path, "svc", 1))
    assert len(taken) == 1
    release_all(taken)


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/leyline"])
def test_a_folder_that_cannot_be_written_to_fails_closed(tmp_path: Path, folder: str):
    (tmp_path / "file").write_text("")
    before = open_descriptors()
    with pytest.raises(LedgerError, match="slots cannot be locked there: .*; it must be a local"):
        Slots(tmp_path / folder, "svc", 1).try_take()
    assert open_descriptors() == before


def test_a_file_system_without_locks_fails_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    before = open_descriptors()
    with pytest.raises(LedgerError, match="Operation not supported"):
        Slots(tmp_path, "svc", 1).try_take()
    assert open_descriptors() == before


def test_looking_at_a_busy_slot_and_releasing_leave_nothing_open(tmp_path: Path):
    before = open_descriptors()
    taken = take_all(Slots(tmp_path, "svc", 2))
    assert Slots(tmp_path, "svc", 2).try_take() is None
    release_all(taken)
    assert open_descriptors() == before


def test_releasing_twice_closes_nothing_of_others(tmp_path: Path):
    slot = take_all(Slots(tmp_path, "svc", 1))[0]
    number = slot.descriptor
    slot.release()
    file = os.open(os.devnull, os.O_RDONLY)
    assert file == number  # the number is used again
    slot.release()
    os.close(file)
    assert slot.descriptor == -1


def test_a_released_slot_is_busy_until_its_tool_has_ended(tmp_path: Path):
    slots = Slots(tmp_path, "svc", 1)
    slot = take_all(slots)[0]
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=(slot.descriptor,)) as tool:
        slot.release()
        assert slots.try_take() is None
        assert tool.stdin
        tool.stdin.close()
        tool.wait()
        again = take_all(slots)
    assert len(again) == 1
    release_all(again)


@pytest.mark.parametrize("close_fds", [True, False])
def test_other_children_do_not_hold_a_slot(tmp_path: Path, close_fds: bool):
    slots = Slots(tmp_path, "svc", 1)
    slot = take_all(slots)[0]
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, close_fds=close_fds) as other:
        slot.release()
        deadline = time.monotonic() + 20.0
        # The system lets us go on a moment before it has closed what is not inherited.
        while not (again := take_all(slots)) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert other.poll() is None
        assert len(again) == 1
    release_all(again)


@pytest.mark.anyio
async def test_a_command_is_handed_the_descriptors_it_names_and_no_other(tmp_path: Path):
    slots = Slots(tmp_path, "svc", 2)
    mine, other = take_all(slots)
    async with Lifespan(SYSTEM_CLOCK) as lifespan:
        done = await run_with(
            lifespan.runner, "/bin/ls", "-l", "/proc/self/fd", pass_fds=(mine.descriptor,)
        )
    release_all([mine, other])
    assert str(tmp_path / "svc.0").encode() in done.stdout
    assert str(tmp_path / "svc.1").encode() not in done.stdout


def test_a_tool_holds_its_slot_when_its_parent_was_killed(tmp_path: Path):
    async def main() -> float:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        slots = Slots(tmp_path / "slots", "svc", 1)
        with start(tmp_path / "slots", 1, 1, "/bin/cat", str(fifo)) as parent:
            assert parent.stdout
            tool = int(parent.stdout.readline())
            parent.send_signal(signal.SIGKILL)
        writer = os.open(fifo, os.O_WRONLY)  # the tool reads until it is closed
        assert is_alive(tool)
        with pytest.raises(QuotaExceededError):
            await slots.take(clock=SYSTEM_CLOCK, deadline=time.monotonic() + 0.3)
        freed: list[float] = []

        async def take() -> None:
            slot = await slots.take(clock=SYSTEM_CLOCK, deadline=None)
            freed.append(time.monotonic())
            assert not is_alive(tool)
            slot.release()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(take)
                await anyio.sleep(0.2)  # it looks at its slowest by now
                assert freed == []
                os.close(writer)
                await until_dead([tool])
                ended = time.monotonic()
        return freed[0] - ended

    late = anyio.run(main)
    print(f"free {late * 1000:.0f} ms after the end of the tool")
    assert late < 2.0


def test_eight_processes_never_run_more_than_four_and_run_four(tmp_path: Path):
    log = tmp_path / "log"
    line = f'echo start >> "{log}"; sleep 0.03; echo stop >> "{log}"'
    processes = [start(tmp_path / "slots", 4, 12, "/bin/sh", "-c", line) for _ in range(8)]
    for process in processes:
        process.communicate(timeout=100)
        assert process.returncode == 0
    alive = list(_running(log.read_text().split()))
    assert len(alive) == 2 * 8 * 12
    assert alive[-1] == 0
    assert max(alive) == 4


def _running(lines: list[str]) -> Iterator[int]:
    running = 0
    for line in lines:
        running += 1 if line == "start" else -1
        yield running


def test_who_waits_first_is_served_first_and_nobody_overtakes(tmp_path: Path):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 1)
        held = take_all(slots)
        served: list[int] = []

        async def wait(number: int) -> None:
            slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=None)
            served.append(number)
            slot.release()
            assert number == 4 or slots.try_take() is None  # others wait

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(wait, number)
            await anyio.sleep(1)
            release_all(held)
        assert served == [0, 1, 2, 3, 4]

    run_virtual(main)


def test_a_slot_released_in_this_process_is_taken_at_once(tmp_path: Path):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 1)
        held = take_all(slots)
        moments: list[float] = []

        async def wait() -> None:
            slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=None)
            moments.append(anyio.current_time())
            slot.release()

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await anyio.sleep(10)
            release_all(held)
            released = anyio.current_time()
        assert moments == [released] * 3

    run_virtual(main)


def test_a_slot_of_another_process_is_awaited_without_haste_and_seen_soon(tmp_path: Path):
    async def main() -> None:
        slots = CountingSlots(tmp_path, "svc", 1)
        held = take_all(Slots(tmp_path, "svc", 1))  # no other process, but nothing wakes us either

        async def free() -> None:
            await anyio.sleep(60)
            release_all(held)

        async with anyio.create_task_group() as group:
            group.start_soon(free)
            slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=None)
        slot.release()
        assert 60 <= anyio.current_time() <= 60.06
        assert slots.looks <= 60 / 0.025 + 20

    run_virtual(main)


def test_only_the_first_of_many_looks(tmp_path: Path):
    async def main() -> None:
        slots = CountingSlots(tmp_path, "svc", 1)
        held = take_all(Slots(tmp_path, "svc", 1))
        async with anyio.create_task_group() as group:
            for _ in range(2000):
                group.start_soon(lambda: slots.take(clock=VIRTUAL_CLOCK, deadline=None))
            await anyio.sleep(1)
            assert slots.looks < 60
            group.cancel_scope.cancel()
        release_all(held)
        assert slots.looks < 60 + 2000  # each was the first for a moment, at most
        taken = take_all(slots)
        assert len(taken) == 1  # nothing stayed with those who were cancelled
        release_all(taken)

    run_virtual(main)


def test_past_the_deadline_it_says_which_limit_and_how_much_is_used(tmp_path: Path):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 2)
        held = take_all(slots)
        with pytest.raises(
            QuotaExceededError, match="svc: all its 2 runs are still busy"
        ) as caught:
            await slots.take(clock=VIRTUAL_CLOCK, deadline=5.0)
        assert anyio.current_time() == pytest.approx(5.0, abs=1e-3)
        error = caught.value
        assert (error.limit, error.used, error.amount) == ("concurrent", 2, 2)
        assert error.retry_after is None
        release_all(held)

    run_virtual(main)


def test_a_deadline_that_has_passed_still_gets_what_is_free(tmp_path: Path):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 1)
        await anyio.sleep(10)
        slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=5.0)
        with pytest.raises(QuotaExceededError, match="its only run is still busy"):
            await slots.take(clock=VIRTUAL_CLOCK, deadline=5.0)
        assert anyio.current_time() == 10
        slot.release()

    run_virtual(main)


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
def test_who_gives_up_lets_the_next_one_in(tmp_path: Path, leave: str):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 1)
        held = take_all(Slots(tmp_path, "svc", 1))  # whose release wakes nobody here
        served: list[str] = []

        async def give_up() -> None:
            if leave == "cancel":
                with anyio.move_on_after(1):
                    await slots.take(clock=VIRTUAL_CLOCK, deadline=None)
            else:
                with pytest.raises(QuotaExceededError):
                    await slots.take(clock=VIRTUAL_CLOCK, deadline=1.0)
            served.append("gave up")

        async def wait() -> None:
            slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=None)
            served.append("served")
            slot.release()

        async with anyio.create_task_group() as group:
            group.start_soon(give_up)
            group.start_soon(wait)
            await anyio.sleep(2)
            release_all(held)
            await anyio.sleep(0.1)
            assert served == ["gave up", "served"]

    run_virtual(main)


def test_a_broken_folder_is_told_to_everyone_who_waits(tmp_path: Path):
    async def main() -> None:
        folder = tmp_path / "slots"
        slots = Slots(folder, "svc", 1)
        held = take_all(slots)
        told: list[LedgerError] = []

        async def wait() -> None:
            with pytest.raises(LedgerError) as caught:
                await slots.take(clock=VIRTUAL_CLOCK, deadline=None)
            told.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(wait)
            await anyio.sleep(1)
            shutil.rmtree(folder)
            folder.write_text("")
            release_all(held)
        assert len(told) == 2

    run_virtual(main)
