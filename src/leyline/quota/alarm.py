"""What ends the wait of the head of a queue before its time."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio
from attrs import define


@define(eq=False)
class Alarm:
    """One wait at a time, which others can end."""

    _scope: anyio.CancelScope | None = None
    _until: float = -math.inf

    @contextmanager
    def set(self, *, until: float, seconds: float = math.inf) -> Generator[None, None, None]:
        """Around a wait of at most *seconds*, which leaves nothing undone up to the moment *until*.

        If it is ended, the block is left at once, and what stands behind it goes on.
        """
        with anyio.move_on_after(seconds) as scope:
            self._scope, self._until = scope, until
            try:
                yield
            finally:
                self._scope = None

    def ring(self) -> None:
        """End the wait, if there is one."""
        if self._scope is not None:
            self._scope.cancel()

    def ring_for(self, moment: float) -> None:
        """End the wait if something has to be done at *moment*, before it ends."""
        if moment < self._until:
            self.ring()
