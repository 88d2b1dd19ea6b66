"""Takes over processes that nobody waits for any more, and sees to it that their trees end."""

import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup
from attrs import define

from leyline.clock import Clock
from leyline.process import guardian
from leyline.process.child import Child
from leyline.process.guardian import Process
from leyline.process.ladder import KillLadder

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.05


@define(eq=False)
class _Condemned:
    """A run whose tree has to end. child: None if its leader was never ours to wait for."""

    run: str
    leader: int
    ladder: KillLadder
    child: Child | None
    tmpdir: str | None

    def members(self, processes: list[Process]) -> list[Process]:
        return guardian.tree(processes, lambda p: self.run in p.runs or p.session == self.leader)

    def leader_alive(self) -> bool:
        return self.child is not None and not self.child.exited

    def signal(self, members: list[Process], number: signal.Signals) -> None:
        # The group at once, so that nobody forks away between two signals; only while its number
        # cannot have passed to somebody else.
        if self.leader_alive() or any(p.group == self.leader for p in members):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.leader, number)
        guardian.send(members, number)


class Reaper:
    """Runs every kill ladder of a registry in one task of the registry's own group.

    Nobody outside can cancel that task, so that a ladder, once begun, is climbed to its end.
    """

    def __init__(
        self,
        group: TaskGroup,
        clock: Clock,
        owns: Callable[[str], bool],
        ended: Callable[[str], None],
    ) -> None:
        """owns: Whether a run id is of this registry and not live.

        ended: Hears of each run whose tree is ended, or given up.
        """
        self._group = group
        self._clock = clock
        self._owns = owns
        self._ended = ended
        self._condemned: dict[str, _Condemned] = {}
        self._running = False

    @property
    def idle(self) -> bool:
        """Whether nothing is left to end."""
        return not self._condemned

    def condemn(self, child: Child, *, grace: float) -> None:
        """End the tree of *child*; returns at once.

        Its folder is removed when nothing of the tree is left.
        """
        self._add(
            _Condemned(
                run=child.run,
                leader=child.process.pid,
                ladder=KillLadder(grace),
                child=child,
                tmpdir=child.command.tmpdir,
            )
        )

    def sweep(self, *, grace: float) -> set[str] | None:
        """Find what left its group and outlived its run, and end it. Costs a scan of ``/proc``.

        Returns the runs of which anything was seen. None: nothing can be looked at now; try again.
        """
        processes = _look()
        if processes is None:
            return None
        for process in processes:
            for run in process.runs:
                if self._owns(run) and run not in self._condemned:
                    self._add(_Condemned(run, process.pid, KillLadder(grace), None, None))
        return {run for process in processes for run in process.runs}

    def kill_now(self) -> None:
        """Last resort where nothing can be awaited: SIGKILL to all that is left."""
        processes = _look() or []
        for condemned in self._condemned.values():
            condemned.signal(condemned.members(processes), signal.SIGKILL)

    def _add(self, condemned: _Condemned) -> None:
        self._condemned[condemned.run] = condemned
        if self._running:
            return
        try:
            self._group.start_soon(self._reap)
        except RuntimeError:  # the group has ended
            self.kill_now()
        else:
            self._running = True

    async def _reap(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                pause = _FIRST_PAUSE
                while self._step():
                    await self._clock.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
        finally:
            self._running = False
            if self._condemned:  # the event loop is shutting down
                self.kill_now()

    def _step(self) -> bool:
        now = self._clock.monotonic()
        processes = _look()
        for condemned in list(self._condemned.values()):
            self._climb(condemned, processes, now)
        return bool(self._condemned)

    def _climb(self, condemned: _Condemned, processes: list[Process] | None, now: float) -> None:
        leader_alive = condemned.leader_alive()
        if processes is None and not leader_alive:
            return  # the rest cannot be seen now, which does not mean that it is gone
        members = condemned.members(processes or [])
        alive = leader_alive or bool(members)
        number = condemned.ladder.step(now, alive=alive)
        if number is not None:
            condemned.signal(members, number)
        if not alive:
            self._finish(condemned)
        elif condemned.ladder.gave_up(now):
            pids = ", ".join(str(p.pid) for p in members) or str(condemned.leader)
            logger.error("processes that cannot be killed are left behind: %s", pids)
            self._finish(condemned)

    def _finish(self, condemned: _Condemned) -> None:
        del self._condemned[condemned.run]
        self._ended(condemned.run)
        if condemned.tmpdir is not None:
            shutil.rmtree(condemned.tmpdir, ignore_errors=True)


def _look() -> list[Process] | None:
    """Every process; None where they cannot be looked at now, as no descriptor is free."""
    try:
        return guardian.scan()
    except OSError:
        return None
