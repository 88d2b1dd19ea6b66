"""Run a command to its end and give back what it said, whatever happens on the way."""

import contextlib
import itertools
import math
import os
import secrets
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from leyline.clock import Clock
from leyline.errors import RegistryClosedError, SpawnError
from leyline.model import Command, Completed, Listener, StopReason
from leyline.process import capture, guardian
from leyline.process.child import Child
from leyline.process.folders import Folders
from leyline.process.guard import Guard
from leyline.process.reaper import Reaper

_LOOK_SECONDS: Final = 0.01
_SWEEP_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 15.0
_MAX_READ_FILE: Final = 16 * 2**20


@define(frozen=True)
class Workspace:
    """What a run is called and the folder that is its own, made when the run starts."""

    run: str
    tmpdir: str
    marker: str = field(repr=False)


class Runner:
    """Starts the processes of one registry and leaves none of them behind.

    group: The task group that kill ladders run in; it must outlive every run.
    Linux: if this Python process is killed, its children die within a second.
    """

    def __init__(self, group: TaskGroup, clock: Clock) -> None:
        self._group = group
        self._clock = clock
        self._registry = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._outer = os.environ.get(guardian.MARKER)
        self._live: dict[str, Child] = {}
        self._guard = Guard(self._registry)
        self._reaper = Reaper(group, clock, self._is_leftover, self._guard.forget)
        self._folders = Folders()
        self._watching = False
        self._sweeping = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it starts nothing any more."""
        return self._closed

    def workspace(self, service: str) -> Workspace:
        """A name and a folder for the next run of *service*."""
        if self._closed:
            raise RegistryClosedError
        run = f"{self._registry}.{next(self._numbers)}"
        marker = f"{self._outer}/{run}" if self._outer else run
        return Workspace(run, self._folders.name_one(service), marker)

    async def run(
        self,
        service: str,
        workspace: Workspace,
        command: Command,
        *,
        listener: Listener | None = None,
    ) -> Completed:
        """Run *command* and return what it left behind, also when it had to be stopped.

        Past ``command.timeout`` seconds, or past ``command.max_output`` bytes, or when *listener*
        wants so, it is stopped: the result is here at once, the tree ends behind it. A listener
        that raises is logged and asked no more.

        Cancellation: the tree is stopped behind the caller, who is back at once.
        Raises CommandNotFoundError or SpawnError if no process started, RegistryClosedError.
        """
        if self._closed:
            raise RegistryClosedError
        self._prepare(service, workspace)
        started_at, started = self._clock.wall(), self._clock.monotonic()
        try:
            child = Child.start(workspace.run, service, command)
        except BaseException:
            self._folders.give_back(workspace.run, workspace.tmpdir)
            raise
        self._live[child.run] = child
        try:
            self._guard.tell(child.run, child.process.pid)
            if listener is not None:
                child.listen(listener)
            self._watch()
            with child.scope:
                child.scope.deadline = (
                    anyio.current_time() + command.timeout
                    if command.timeout is not None
                    else math.inf
                )
                await child.wait()
            if not child.exited:
                child.stopped = child.stopped or StopReason.TIMEOUT
            elif child.stopped is None and child.oversized():
                child.stopped = StopReason.OUTPUT_TOO_LARGE
            completed = self._collect(child, started_at, started)
            if child.tail is not None:
                await child.tail.finish()
            return completed
        finally:
            self._release(service, child)

    async def aclose(self) -> None:
        """Stop what runs and wait until nothing is left of it. Bounded, and not cancellable."""
        self._closed = True
        for child in self._live.values():
            child.stopped = child.stopped or StopReason.CLOSED
            child.scope.cancel()
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS):
                await self._until_idle()
                if self._folders.root is not None:
                    while self._reaper.sweep(grace=0.0) is None:
                        await self._clock.sleep(0.05)
                await self._until_idle()
        finally:
            self._tidy()

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is left to end."""
        return not self._live and self._reaper.idle

    async def _until_idle(self) -> None:
        while not self.idle:
            await self._clock.sleep(0.005)

    def _tidy(self) -> None:
        self._folders.remove_all()
        self._guard.dismiss()

    def _prepare(self, service: str, workspace: Workspace) -> None:
        self._watch_over()
        try:
            self._folders.make(workspace.tmpdir)
        except OSError as error:
            reason = f"no temporary folder: {error}; set TMPDIR to one that can be written to"
            raise SpawnError(service, reason) from error

    def _watch_over(self) -> None:
        assert self._folders.root is not None
        self._guard.stand(self._folders.root, self._clock.monotonic())

    def _is_leftover(self, run: str) -> bool:
        return run.startswith(f"{self._registry}.") and run not in self._live

    def _collect(self, child: Child, started_at: float, started: float) -> Completed:
        command = child.command
        stdout, cut_out = capture.read(child.stdout, command.max_output)
        stderr, cut_err = capture.read(child.stderr, command.max_output)
        return Completed(
            exit_code=None if child.stopped else child.exit_code,
            stdout=stdout,
            stderr=stderr,
            files={} if child.stopped else _read_files(command),
            stopped=child.stopped,
            truncated=cut_out or cut_err,
            started_at=started_at,
            duration=self._clock.monotonic() - started,
            pid=child.process.pid,
        )

    def _release(self, service: str, child: Child) -> None:
        """Nobody waits for *child* any more: let go of it, and of all that it started."""
        del self._live[child.run]
        if not child.exited or child.group_survives():
            # An output without end is stopped without asking.
            oversized = child.stopped is StopReason.OUTPUT_TOO_LARGE
            self._reaper.condemn(child, grace=0.0 if oversized else child.command.grace)
        else:
            self._guard.forget(child.run)
            # What is read out of a folder must not come from a run before.
            next_user = None if child.command.read_files else service
            self._folders.give_back(child.run, child.command.tmpdir, service=next_user)
        child.close()
        if not self._sweeping:
            with contextlib.suppress(RuntimeError):  # the group has ended; aclose has swept
                self._group.start_soon(self._sweep_soon, child.command.grace)
                self._sweeping = True

    async def _sweep_soon(self, grace: float) -> None:
        """What left its group and outlived its run ends without waiting for another run."""
        try:
            left = None
            while left is None:
                await anyio.sleep(_SWEEP_SECONDS)
                left = self._reaper.sweep(grace=grace)
            self._folders.release(left)
        finally:
            self._sweeping = False

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._group.start_soon(self._watch_outputs)

    async def _watch_outputs(self) -> None:
        try:
            while self._live:
                # Many children: look a little less often rather than spend a core on it.
                await anyio.sleep(_LOOK_SECONDS + len(self._live) * 2e-5)
                self._watch_over()
                for child in list(self._live.values()):
                    if child.stopped is None and (reason := child.reason_to_stop()):
                        child.stopped = reason
                        child.scope.cancel()
        finally:
            self._watching = False


def _read_files(command: Command) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for name, path in command.read_files.items():
        with contextlib.suppress(OSError), Path(path).open("rb") as file:
            contents[name] = file.read(_MAX_READ_FILE)
    return contents
