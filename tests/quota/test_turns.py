"""Whose turn it is for a slot: by priority in a process, and in turn between processes."""

import signal
from pathlib import Path

import anyio

from leyline import Priority, ServiceRegistry
from leyline.clock import SYSTEM_CLOCK
from leyline.quota.slots import Slots
from leyline.testing import ScriptedService
from tests.quota.test_slots import release_all, start, take_all
from tests.virtual import VIRTUAL_CLOCK, run_virtual

RUN = 0.05


class Process:
    """Slots of one account, as another process has them, and when its runs began."""

    def __init__(self, folder: Path, name: str, log: list[str], count: int = 1) -> None:
        self.slots = Slots(folder, "svc", count)
        self.name = name
        self.log = log

    async def run(self, priority: Priority = Priority.NORMAL) -> None:
        slot = await self.slots.take(clock=VIRTUAL_CLOCK, deadline=None, priority=priority)
        self.log.append(self.name)
        await anyio.sleep(RUN)
        slot.release()

    async def run_one_after_another(self, number: int) -> None:
        for _ in range(number):
            await self.run()

    async def run_all(self, number: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(self.run)


# In one process


def test_the_more_urgent_has_the_next_slot_and_nobody_starves(tmp_path: Path):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 1)
        held = take_all(slots)
        served: list[str] = []

        async def wait(name: str, priority: Priority) -> None:
            slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=None, priority=priority)
            served.append(name)
            slot.release()

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(wait, f"low {number}", Priority.LOW)
            await anyio.sleep(1)
            for number in range(20):
                group.start_soon(wait, f"high {number}", Priority.HIGH)
            await anyio.sleep(1)
            release_all(held)
        assert served[:8] == [f"high {number}" for number in range(8)]
        assert served[8] == "low 0"
        assert [name for name in served if name.startswith("low")] == ["low 0", "low 1", "low 2"]

    run_virtual(main)


def test_a_call_is_before_others_that_wait_for_a_place():
    async def main() -> None:
        order: list[str] = []
        async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
            ScriptedService("svc", latency=1.0, quota_limits={"concurrent": 1}).register(registry)

            async def ask(name: str, priority: Priority) -> None:
                await registry.execute("svc", name, priority=priority)
                order.append(name)

            async with anyio.create_task_group() as group:
                for number in range(4):
                    group.start_soon(ask, f"low {number}", Priority.LOW)
                await anyio.sleep(0.5)
                group.start_soon(ask, "high", Priority.HIGH)
        assert order == ["low 0", "high", "low 1", "low 2", "low 3"]

    run_virtual(main)


def test_when_the_first_is_displaced_only_one_looks(tmp_path: Path):
    async def main() -> None:
        slots = Slots(tmp_path, "svc", 1)
        held = take_all(Slots(tmp_path, "svc", 1))  # whose release wakes nobody here
        served: list[Priority] = []

        async def wait(priority: Priority) -> None:
            slot = await slots.take(clock=VIRTUAL_CLOCK, deadline=None, priority=priority)
            served.append(priority)
            slot.release()

        async with anyio.create_task_group() as group:
            for priority in reversed(Priority):
                group.start_soon(wait, priority)
                await anyio.sleep(1)
            release_all(held)
        assert served == list(Priority)

    run_virtual(main)


# Between processes; in virtual time, two pools of slots are as strange to each other


def test_who_waits_elsewhere_is_not_passed_over_for_a_long_queue(tmp_path: Path):
    async def main() -> None:
        log: list[str] = []
        busy, other = Process(tmp_path, "busy", log), Process(tmp_path, "other", log)
        async with anyio.create_task_group() as group:
            group.start_soon(busy.run_all, 200)
            await anyio.sleep(1.01)
            for _ in range(5):
                before = len(log)
                await other.run()
                assert len(log) - before <= 3  # itself, and perhaps what was under way
            assert log.count("busy") < 100
            group.cancel_scope.cancel()

    run_virtual(main)


def test_who_waits_elsewhere_is_not_passed_over_for_one_run_after_another(tmp_path: Path):
    async def main() -> None:
        log: list[str] = []
        busy, other = Process(tmp_path, "busy", log), Process(tmp_path, "other", log)
        async with anyio.create_task_group() as group:
            group.start_soon(busy.run_one_after_another, 200)
            await anyio.sleep(1.01)
            before = len(log)
            await other.run()
            assert len(log) - before <= 3
            group.cancel_scope.cancel()

    run_virtual(main)


def test_two_long_queues_share_the_slots_evenly(tmp_path: Path):
    async def main() -> None:
        log: list[str] = []
        async with anyio.create_task_group() as group:
            for name in ("a", "b"):
                group.start_soon(Process(tmp_path, name, log, count=4).run_all, 400)
            await anyio.sleep(20 * RUN)
            log.clear()
            await anyio.sleep(100 * RUN)
            group.cancel_scope.cancel()
        assert 0.7 <= log.count("a") / log.count("b") <= 1.4

    run_virtual(main)


def test_where_nobody_waits_elsewhere_no_time_is_lost(tmp_path: Path):
    async def main() -> None:
        log: list[str] = []
        gone = Process(tmp_path, "gone", log)
        async with anyio.create_task_group() as group:
            group.start_soon(gone.run_all, 3)  # which waited, and said so
        began = anyio.current_time()
        await Process(tmp_path, "alone", log).run_all(100)
        assert anyio.current_time() - began < 100 * RUN + 0.01

    run_virtual(main)


def test_one_who_waits_and_never_looks_costs_a_pause_and_no_more(tmp_path: Path):
    async def main() -> None:
        log: list[str] = []
        stopped = Slots(tmp_path, "svc", 4)._notice
        tmp_path.joinpath("svc.waiting").touch()
        stopped.post()  # as a process does that was stopped while it waited
        await Process(tmp_path, "goes on", log, count=4).run_all(100)
        assert anyio.current_time() <= 100 / 4 * 2.2 * RUN
        stopped.withdraw()

    run_virtual(main)


def test_a_process_that_asks_seldom_is_served_soon_beside_one_with_a_long_queue(tmp_path: Path):
    log = tmp_path / "log"
    log.touch()
    line = f'echo run >> "{log}"; sleep {RUN}'

    def runs() -> int:
        return log.read_text().count("run")

    async def main() -> list[int]:
        slots = Slots(tmp_path / "slots", "svc", 1)
        passed_over: list[int] = []
        with anyio.fail_after(60):
            while runs() < 5:
                await anyio.sleep(0.01)
            for _ in range(5):
                before = runs()
                slot = await slots.take(clock=SYSTEM_CLOCK, deadline=None)
                passed_over.append(runs() - before)
                slot.release()
        return passed_over

    with start(tmp_path / "slots", 1, 200, "/bin/sh", "-c", line) as busy:
        try:
            passed_over = anyio.run(main)
        finally:
            busy.send_signal(signal.SIGKILL)
            assert busy.stdout is not None
            busy.stdout.close()
    assert sum(passed_over) <= 20, passed_over
