"""The exit status is the tool's own, or known to be lost; never a made-up 0."""

import errno
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from leyline.model import Command, StopReason
from leyline.process.child import Child
from tests.process.conftest import Run
from tests.processes import open_descriptors, until_dead

pytestmark = pytest.mark.anyio

FAILS = ("/bin/sh", "-c", "echo partial answer; exit 3")


@pytest.fixture(params=["missing", errno.EMFILE, errno.EPERM])
def without_pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has none, has none left, or does not give us any."""

    def refuse(pid: int) -> int:
        raise OSError(request.param, os.strerror(request.param))

    if request.param == "missing":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    else:
        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)


@pytest.fixture
def ignored_children() -> Iterator[None]:
    """The system throws each exit status away."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.fixture
def reaped_children() -> Iterator[None]:
    """The program around takes each exit status, as supervisors do."""

    def reap(*_: object) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    before = signal.signal(signal.SIGCHLD, reap)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9)])
async def test_a_status_is_the_tools_own(run: Run, script: str, code: int):
    completed = await run("/bin/sh", "-c", script)
    assert (completed.exit_code, completed.stopped) == (code, None)


async def test_a_status_that_the_system_threw_away_is_lost(run: Run, ignored_children: None):
    completed = await run(*FAILS)
    assert (completed.exit_code, completed.stopped) == (None, None)
    assert completed.stdout == b"partial answer\n"


async def test_a_status_that_the_program_around_may_take_is_never_a_success(
    run: Run, reaped_children: None
):
    codes = [(await run(*FAILS)).exit_code for _ in range(10)]
    assert set(codes) <= {None, 3}  # who is first has it


async def test_a_status_that_somebody_else_has_taken_is_lost():
    child = Child.start("r.1", "svc", Command(argv=FAILS, env={}, tmpdir="/nowhere"))
    assert os.waitpid(child.process.pid, 0)[1]
    assert child.exited
    assert child.exited
    assert child.exit_code is None
    child.close()


async def test_without_a_pidfd_a_run_ends_as_any_other(run: Run, without_pidfd: None):
    await run("/bin/true")
    before = open_descriptors(), threading.active_count()
    completed = await run("/bin/sh", "-c", "sleep 0.1; exit 3")
    assert (completed.exit_code, completed.stopped) == (3, None)
    late = await run("/bin/sleep", "611", timeout=0.1, grace=0.05)
    assert (late.exit_code, late.stopped) == (None, StopReason.TIMEOUT)
    await until_dead([late.pid])
    assert (open_descriptors(), threading.active_count()) == before


async def test_without_a_pidfd_a_status_that_was_thrown_away_is_lost_too(
    run: Run, without_pidfd: None, ignored_children: None
):
    assert (await run(*FAILS)).exit_code is None
