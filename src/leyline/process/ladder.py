"""The kill ladder of one run, as a decision: which signal now, and is it over."""

import signal

from attrs import define

KILL_LIMIT = 5.0
"""Seconds after SIGKILL at which a process that will not die (stuck in the kernel) is given up."""


@define
class KillLadder:
    """SIGTERM to the tree, a grace, SIGKILL until nothing is left.

    grace: Seconds between the two. Zero kills at once.
    """

    grace: float
    _kill_at: float | None = None
    _killing: bool = False

    def step(self, now: float, *, alive: bool) -> signal.Signals | None:
        """The signal to send at *now*, if any. *alive*: whether anything of the tree is left."""
        if not alive:
            return None
        if self._kill_at is None:
            self._kill_at = now + self.grace
            if self.grace > 0:
                return signal.SIGTERM
        if now < self._kill_at:
            return None
        if not self._killing:
            self._killing = True
            self._kill_at = now  # later than meant where the event loop was held up
        return signal.SIGKILL

    def gave_up(self, now: float) -> bool:
        """Whether SIGKILL has been of no use for too long."""
        return self._kill_at is not None and now >= self._kill_at + KILL_LIMIT
