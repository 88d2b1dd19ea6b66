"""One started process: its pid, its streams, and how to learn that it ended."""

import contextlib
import errno
import os
import subprocess
from typing import Final

import anyio
from attrs import define, field

from leyline.errors import CommandNotFoundError, SpawnError
from leyline.model import Command, Listener, StopReason
from leyline.process import capture
from leyline.process.tail import Tail

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.02
_BUSY: Final = {
    errno.EAGAIN: "no more processes can be started now (see ulimit -u)",
    errno.EMFILE: "too many open files in this process (see ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOMEM: "not enough memory to start a process",
    errno.E2BIG: "arguments and environment together are too long for the system",
}


@define(eq=False)
class Child:
    """A process in a session of its own, with files for standard streams.

    run: The id that its environment, and so its whole tree, is marked with.
    stopped: Why leyline ended it. scope: Cancelled to end the wait for it.
    tail: What hands its output to a listener. None: nobody listens.
    exit_code: Its exit status, negative for a signal. None: it runs, or its status was lost.
    """

    run: str
    command: Command
    stdout: int
    stderr: int
    process: subprocess.Popen[bytes]
    exit_descriptor: int | None
    stopped: StopReason | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    tail: Tail | None = None
    exit_code: int | None = None
    _ended: bool = False

    @classmethod
    def start(cls, run: str, service: str, command: Command) -> "Child":
        """Start *command*. Synchronous: no cancellation can come between the start and its record.

        Raises CommandNotFoundError if the program cannot be executed, SpawnError if the system
        refuses. Nothing is left open then.
        """
        streams: list[int] = []
        try:
            streams.append(capture.open_input(command.stdin))
            streams.append(capture.open_output())
            streams.append(capture.open_output())
            process = subprocess.Popen(
                command.argv,
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                env=command.env,
                cwd=command.cwd,
                start_new_session=True,
                pass_fds=command.pass_fds,
            )
        except OSError as error:
            for descriptor in streams[1:]:
                os.close(descriptor)
            raise _start_error(service, command, error) from error
        finally:
            for descriptor in streams[:1]:
                os.close(descriptor)
        exit_descriptor = None
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # too many open files: it is asked again and again
                exit_descriptor = os.pidfd_open(process.pid)
        return cls(run, command, streams[1], streams[2], process, exit_descriptor)

    @property
    def exited(self) -> bool:
        """Whether the process has ended; takes its exit status when it has.

        Where somebody else has taken it, it is lost: where SIGCHLD is ignored the system has, or
        the program around us waits for every child there is. ``Popen`` would call that a 0.
        """
        if not self._ended:
            try:
                pid, status = os.waitpid(self.process.pid, os.WNOHANG)
            except ChildProcessError:
                self._ended = True
            else:
                if pid:
                    self._ended = True
                    self.exit_code = os.waitstatus_to_exitcode(status)
            if self._ended:
                self.process.returncode = self.exit_code or 0  # so that it does not look itself
        return self._ended

    def group_survives(self) -> bool:
        """Whether others of its group outlived it. Ask right after it has ended."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    async def wait(self) -> None:
        """Until the process has ended, whoever still holds its streams."""
        pause = _FIRST_PAUSE
        while not self.exited:
            if self.exit_descriptor is not None:
                await anyio.wait_readable(self.exit_descriptor)
                return
            await anyio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def oversized(self) -> bool:
        """Whether one of its outputs is past the cap."""
        cap = self.command.max_output
        return capture.size(self.stdout) > cap or capture.size(self.stderr) > cap

    def listen(self, listener: Listener) -> None:
        """Let *listener* hear what it writes."""
        cap = self.command.max_output
        self.tail = Tail(self.stdout, self.stderr, cap=cap, listener=listener)

    def reason_to_stop(self) -> StopReason | None:
        """Why it has to be stopped, after a look at what it wrote; None: it may go on."""
        if self.oversized():
            return StopReason.OUTPUT_TOO_LARGE
        if self.tail is not None and self.tail.step() and not self.exited:
            return StopReason.GIVEN_UP
        return None

    def close(self) -> None:
        """Close our ends. The process, if it still runs, keeps its own."""
        os.close(self.stdout)
        os.close(self.stderr)
        if self.exit_descriptor is not None:
            os.close(self.exit_descriptor)
            self.exit_descriptor = None


def _start_error(
    service: str, command: Command, error: OSError
) -> CommandNotFoundError | SpawnError:
    program = command.argv[0]
    if error.errno in _BUSY:
        return SpawnError(service, _BUSY[error.errno])
    if command.cwd is not None and error.filename == command.cwd:
        return SpawnError(service, f'cannot work in "{command.cwd}": {error.strerror}')
    if error.errno == errno.ENOEXEC:
        reason = "is not a program; if it is a script, begin it with a line like #!/bin/sh"
    elif error.errno == errno.ENOENT and os.path.exists(program):  # noqa: PTH110  (never raises)
        reason = "needs an interpreter that does not exist (see its first line)"
    elif error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
        reason = f"cannot be executed: {error.strerror}"
    else:
        return SpawnError(service, f'"{program}" could not be started: {error.strerror}')
    return CommandNotFoundError(service, f'command "{program}" {reason}')
