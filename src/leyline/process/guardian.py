"""Find and kill the processes of a run, however far they wandered; also when leyline is dead.

Every run marks its environment, which every descendant inherits: that finds the ones that left
the process group, the session and their parents. Descendants that cleared their environment are
found by session and parentage as long as those hold.

Run as a program (``python guardian.py REGISTRY PARENT FOLDER``), this is the guardian of a
registry: it waits until its standard input closes or its parent dies, then kills what is left of
that registry's runs and removes its folder. Its standard output is a table, to read, of the
sessions to look for, in which those are that cleared their environment. Only the standard library
is imported, so that it starts quickly on its own.
"""

import contextlib
import errno
import os
import select
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

MARKER: Final = "LEYLINE_RUN"
"""The variable that marks a run: ``registry.number``, after the runs it stands in, by ``/``."""

RECORD: Final = struct.Struct("=Qd")
"""What a table holds of a run: the pid of its leader, and when it was surely that leader's, in
seconds since boot. Pid 0: no run."""

_NEEDLE: Final = b"\0" + MARKER.encode() + b"="
_TABLE: Final = 1
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Process(NamedTuple):
    """One live process. runs: The runs it belongs to, outermost first."""

    pid: int
    parent: int
    group: int
    session: int
    runs: tuple[str, ...]


def scan() -> list[Process]:
    """Every live process that can be seen; empty where there is no ``/proc``.

    Raises OSError where nothing can be looked at now, as no descriptor is left to open it with:
    what was not seen then may well be there.
    """
    try:
        names = os.listdir("/proc")  # noqa: PTH208  (a quarter of the time of iterdir)
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        return []
    processes: list[Process] = []
    for name in names:
        if name.isdigit():
            with contextlib.suppress(ValueError, IndexError):  # it may end meanwhile
                process = _inspect(name)
                if process is not None:
                    processes.append(process)
    return processes


def tree(processes: Iterable[Process], belongs: Callable[[Process], bool]) -> list[Process]:
    """The *processes* that belong by themselves, and all their descendants; never this one."""
    processes = list(processes)
    members = {process.pid for process in processes if belongs(process)}
    grown = True
    while grown:
        more = {p.pid for p in processes if p.parent in members and p.pid not in members}
        members |= more
        grown = bool(more)
    members.discard(os.getpid())
    return [process for process in processes if process.pid in members]


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal each of *processes* that is still there."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


def sessions(table: int) -> set[int]:
    """The sessions in *table* whose number cannot have passed to another program since."""
    content = os.pread(table, os.fstat(table).st_size, 0)
    return {pid for pid, told in RECORD.iter_unpack(content) if pid and _started(pid) <= told}


def _started(pid: int) -> float:
    """Seconds from boot to the start of a process; 0 where it is gone, what it led perhaps not."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _inspect(pid: str) -> Process | None:
    # The name of the program stands in brackets and may contain anything, brackets too.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    state, parent, group, session = fields[0], int(fields[1]), int(fields[2]), int(fields[3])
    if state in (b"Z", b"X"):
        return None
    runs: tuple[str, ...] = ()
    _, found, rest = (b"\0" + _read(f"/proc/{pid}/environ")).partition(_NEEDLE)
    if found:
        runs = tuple(rest.partition(b"\0")[0].decode("ascii", "replace").split("/"))
    return Process(int(pid), parent, group, session, runs)


def _read(path: str) -> bytes:
    """Empty where the process is gone, or is another user's and cannot be looked into."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = chunk = os.read(descriptor, 65536)
            while len(chunk) == 65536:
                chunk = os.read(descriptor, 65536)
                content += chunk
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        return b""
    return content


def _wait_for_end(parent: int) -> None:
    """Until standard input closes or the parent is gone (a fork may hold the other end)."""
    watched: list[int] = [0]
    if hasattr(os, "pidfd_open"):
        try:
            watched.append(os.pidfd_open(parent))
        except ProcessLookupError:
            return
        except OSError:  # not allowed, or not now: standard input has to do
            pass
    if os.getppid() == parent:
        select.select(watched, [], [])


def _left_behind(prefix: str, told: set[int]) -> list[Process]:
    def belongs(process: Process) -> bool:
        return process.session in told or any(run.startswith(prefix) for run in process.runs)

    return tree(scan(), belongs)


def main(registry: str, parent: str, folder: str) -> None:
    """Wait, kill, tidy up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _wait_for_end(int(parent))
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # no descriptor is left on this machine: look again
            left = _left_behind(f"{registry}.", sessions(_TABLE))
            if not left:
                break
            send(left, signal.SIGKILL)
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
