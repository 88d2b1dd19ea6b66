"""Every byte arrives, and nobody is waited for."""

import os
import resource
import sys
import threading
import time

import anyio
import pytest

from leyline.model import StopReason
from leyline.process import capture
from tests.process.conftest import PROGRAMS, Run
from tests.processes import read_pids, until_dead
from tests.tools import require

pytestmark = pytest.mark.anyio


async def test_output_of_a_program_that_exits_at_once_arrives_whole_while_our_loop_is_blocked(run):
    """A pipe would give 65,536 bytes of the 3,000,000, and exit status 0."""
    node = require("node")

    async with anyio.create_task_group() as group:

        async def block() -> None:
            await anyio.sleep(0.02)
            time.sleep(0.5)

        group.start_soon(block)
        completed = await run(node, str(PROGRAMS / "truncates.js"))
    assert completed.exit_code == 0
    assert completed.stdout == b"x" * 3_000_000


async def test_a_flood_on_standard_error_before_any_output_does_not_stall(run: Run):
    completed = await run(
        sys.executable, "-c", "import sys; sys.stderr.write('e' * 200_000); print('done')"
    )
    assert (completed.stdout, len(completed.stderr)) == (b"done\n", 200_000)


async def test_a_prompt_of_five_megabytes_arrives_byte_for_byte(run: Run):
    prompt = os.urandom(5_000_000)
    completed = await run("/bin/cat", stdin=prompt)
    assert completed.stdout == prompt


async def test_a_program_that_does_not_read_its_input_is_no_problem(run: Run):
    completed = await run("/bin/echo", "fine", stdin=b"x" * 5_000_000)
    assert (completed.exit_code, completed.stdout) == (0, b"fine\n")


@pytest.mark.parametrize("stdin", [b"", b"text"])
async def test_standard_input_always_ends(run: Run, stdin: bytes):
    """Ours is an open pipe on which nobody ever writes; the child must not see it."""
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        with anyio.fail_after(20):
            completed = await run("/bin/cat", stdin=stdin)
    finally:
        os.dup2(saved, 0)
        for descriptor in (saved, reading, writing):
            os.close(descriptor)
    assert completed.stdout == stdin


async def test_a_grandchild_that_keeps_the_streams_does_not_delay_the_result(run: Run, tmp_path):
    pids = tmp_path / "pids"
    started = time.monotonic()
    completed = await run(str(PROGRAMS / "leaves_a_child.sh"), str(pids))
    assert time.monotonic() - started < 5.0  # the grandchild stays for 12 s
    assert completed.stdout == b"answer\n"
    assert await until_dead(await read_pids(pids)) < 10.0


async def test_a_program_that_reopens_its_output_leaves_no_hole(run: Run):
    """Shell scripts do ``> /dev/stderr``; without append mode the next write leaves NUL bytes."""
    completed = await run("/bin/sh", "-c", "echo one >&2; echo two > /dev/stderr; echo three >&2")
    assert b"\0" not in completed.stderr
    assert completed.stderr.endswith(b"three\n")


async def test_an_output_past_its_cap_stops_the_run_and_keeps_start_and_end(run: Run):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    completed = await run(str(PROGRAMS / "endless.sh"), max_output=10_000_000, grace=60.0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert completed.stopped is StopReason.OUTPUT_TOO_LARGE
    assert completed.truncated
    assert completed.stdout.startswith(b"START\n\0\0")
    assert b"bytes left out" in completed.stdout
    assert len(completed.stdout) <= 10_000_000
    assert grown < 30 * 1024  # KiB


async def test_an_output_past_its_cap_is_noticed_when_the_program_has_ended(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("leyline.process.runner._LOOK_SECONDS", 60.0)  # not while it runs
    completed = await run(
        "/bin/sh", "-c", "echo START; head -c 100000 /dev/zero; echo END", max_output=1000
    )
    assert completed.stopped is StopReason.OUTPUT_TOO_LARGE
    assert completed.stdout.startswith(b"START\n")
    assert completed.stdout.endswith(b"END\n")


async def test_an_output_of_exactly_the_cap_is_fine(run: Run):
    completed = await run("/bin/sh", "-c", "head -c 1000 /dev/zero", max_output=1000)
    assert (completed.stopped, len(completed.stdout)) == (None, 1000)


@pytest.mark.parametrize("size", [0, 1, 4096, 1_000_003])
def test_input_without_memfd_is_the_same(monkeypatch: pytest.MonkeyPatch, size: int):
    monkeypatch.delattr(os, "memfd_create")
    data = os.urandom(size)
    descriptor = capture.open_input(data)
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == data


async def test_without_memfd_and_pidfd_a_run_is_the_same(monkeypatch, run: Run):
    """What other systems than Linux have: temporary files, and a thread that waits."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(os, "pidfd_open")
    completed = await run("/bin/cat", stdin=b"prompt")
    assert (completed.exit_code, completed.stdout) == (0, b"prompt")


async def test_runs_leave_no_descriptor_and_no_thread(run: Run):
    await run("/bin/true")
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(50):
        await run("/bin/cat", stdin=b"x")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads
