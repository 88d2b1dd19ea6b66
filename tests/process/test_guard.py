"""Who kills what a dead Python leaves behind, also what it did not mark, and who stands in."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from leyline.process import guardian
from leyline.process.guard import Guard
from tests.process.conftest import no_descriptors
from tests.processes import is_alive, open_descriptors, read_pids, until_dead

ROOT = Path(__file__).parents[2]
UNMARKED = "exec env -i /bin/sh -c 'echo $$ > {path}; exec /bin/sleep 613'"
PROGRAM = """
    import anyio
    from leyline.clock import SYSTEM_CLOCK
    from leyline.process import Lifespan
    from tests.process.conftest import run_with

    async def main():
        async with Lifespan(SYSTEM_CLOCK) as lifespan:
            await run_with(lifespan.runner, "/bin/sh", "-c", {script!r})

    anyio.run(main)
"""


def guardians(parent: int) -> list[int]:
    """The guardians that a process has started and that live."""
    found: list[int] = []
    for process in guardian.scan():
        if process.parent == parent:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            if guardian.__file__.encode() in words:
                found.append(process.pid)
    return found


def until(found: Callable[[], list[int]]) -> list[int]:
    deadline = time.monotonic() + 20
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return result


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[..., tuple[list[int], Path]]]:
    """Runs a tool that clears its environment, and kills Python; *before* that, what is wanted."""
    path = tmp_path / "pids"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = textwrap.dedent(PROGRAM).format(script=UNMARKED.format(path=path))
    env = {**os.environ, "TMPDIR": str(temporary)}
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env)

    def kill(before: Callable[[int], None] | None = None) -> tuple[list[int], Path]:
        pids = anyio.run(read_pids, path)
        assert all(is_alive(pid) for pid in pids)
        if before is not None:
            before(parent.pid)
        parent.kill()
        parent.wait()
        return pids, temporary

    yield kill
    parent.kill()
    parent.wait()
    for pid in anyio.run(read_pids, path):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_killed_with_nine_a_tool_that_cleared_its_environment_dies_too(killed):
    pids, temporary = killed()
    anyio.run(until_dead, pids)
    deadline = time.monotonic() + 20
    while list(temporary.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(temporary.iterdir()) == []


def test_a_guardian_that_was_killed_is_replaced_by_one_that_knows_as_much(killed):
    def replace(parent: int) -> None:
        (first,) = until(lambda: guardians(parent))
        os.kill(first, signal.SIGKILL)
        until(lambda: [pid for pid in guardians(parent) if pid != first])

    pids, _ = killed(replace)
    anyio.run(until_dead, pids)


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard("r")
    yield guard
    guard.dismiss()


def told(guard: Guard) -> set[int]:
    assert guard._table is not None
    return guardian.sessions(guard._table)


def started(guard: Guard) -> int:
    assert guard._guardian is not None
    return guard._guardian.pid


def test_a_guardian_is_replaced_at_most_once_a_second(guard: Guard, tmp_path: Path):
    folder = str(tmp_path / "none")
    guard.stand(folder, 10.0)
    first = started(guard)
    os.kill(first, signal.SIGKILL)
    until(lambda: [] if is_alive(first) else [first])
    for now, same in ((10.0, True), (10.9, True), (11.0, False), (20.0, False)):
        guard.stand(folder, now)
        assert (started(guard) == first) is same
    assert len(guardians(os.getpid())) == 1


def test_nothing_of_a_guard_is_left_and_it_starts_no_other(tmp_path: Path):
    before = open_descriptors()
    guard = Guard("r")
    guard.stand(str(tmp_path / "none"), 10.0)
    assert open_descriptors() > before
    guard.dismiss()
    guard.stand(str(tmp_path / "none"), 99.0)
    guard.tell("r.1", os.getpid())
    guard.forget("r.1")
    assert (open_descriptors(), guardians(os.getpid())) == (before, [])


def test_the_table_holds_who_was_told_and_not_forgotten(guard: Guard, tmp_path: Path):
    guard.stand(str(tmp_path / "none"), 10.0)
    for run, pid in (("r.1", 4_194_001), ("r.2", 4_194_002), ("r.3", 4_194_003)):
        guard.tell(run, pid)
    for run in ("r.2", "r.2", "r.9"):
        guard.forget(run)
    assert told(guard) == {4_194_001, 4_194_003}
    guard.tell("r.4", 4_194_004)
    assert told(guard) == {4_194_001, 4_194_003, 4_194_004}
    assert guard._table is not None
    assert os.fstat(guard._table).st_size == 3 * guardian.RECORD.size


def test_who_was_told_before_the_table_could_be_made_stands_in_it(guard: Guard, tmp_path: Path):
    with no_descriptors():
        guard.stand(str(tmp_path / "none"), 10.0)
        guard.tell("r.1", 4_194_001)
    guard.tell("r.2", 4_194_002)
    guard.stand(str(tmp_path / "none"), 11.0)
    assert told(guard) == {4_194_001, 4_194_002}


def test_a_number_that_has_passed_to_another_program_is_not_killed(tmp_path: Path):
    with (tmp_path / "table").open("w+b") as table:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        for seconds in (-100_000_000.0, now):
            table.seek(0)
            table.write(guardian.RECORD.pack(os.getpid(), seconds))
            table.flush()
            assert guardian.sessions(table.fileno()) == ({os.getpid()} if seconds > 0 else set())


@pytest.mark.parametrize("error", ["PermissionError", "OSError", "BlockingIOError"])
def test_a_guardian_that_may_not_watch_its_parent_still_waits_for_its_end(
    tmp_path: Path, error: str
):
    """It killed live runs then."""
    program = textwrap.dedent(f"""
        import os
        from leyline.process import guardian

        def refuse(pid):
            raise {error}

        os.pidfd_open = refuse
        guardian.main("r", str(os.getppid()), {str(tmp_path / "none")!r})
    """)
    with (tmp_path / "table").open("w+b") as table:
        waiting = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=table, cwd=ROOT
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=2.0)
        assert waiting.stdin is not None
        waiting.stdin.close()
        assert waiting.wait(timeout=20) == 0
