"""An event loop whose time jumps to the next timer: days of waiting in milliseconds.

For code whose waiting is all timers and events. No timer waits for a worker thread; live
processes belong to real time. ::

    from leyline import ServiceRegistry
    from leyline.testing import VIRTUAL_CLOCK, ScriptedService, run_virtual

    async def main():
        async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
            ScriptedService("slow", latency=30.0).register(registry)
            return await registry.execute("slow", "Hello")

    assert run_virtual(main).duration == 30.0       # after some milliseconds

A whole module of tests runs in it by a fixture ``anyio_backend`` that returns
``VIRTUAL_BACKEND``.
"""

import asyncio
import math
import selectors
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple

import anyio

from leyline.clock import SYSTEM_CLOCK, Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH: Final = 1_800_000_000.0
"""Unix time at which virtual time begins."""

_LOOK_SECONDS: Final = 0.05
"""Real time after which threads are looked at again: one may end and wake nobody."""


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would wait for its next timer, moves ``now`` there instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if len(self.get_map()) > 1:  # more than the loop's own wake-up pipe: real I/O, real time
            return self._wait(timeout)
        if timeout is None:
            if _may_be_woken():
                return self._wait(_LOOK_SECONDS)
            if ready := super().select(0):  # by a thread that ended meanwhile
                return ready
            raise RuntimeError("deadlock: every task waits, and no timer or descriptor is left")
        self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return []

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        started = time.monotonic()
        ready = super().select(timeout)
        self.now += time.monotonic() - started
        return ready


def _may_be_woken() -> bool:
    """Whether a thread lives that may still wake the loop of this one."""
    here = threading.current_thread()
    return any(thread is not here and not _idle(thread) for thread in threading.enumerate())


def _idle(thread: threading.Thread) -> bool:
    """Whether it is a worker of anyio that has nothing to do."""
    # The loop's own thread puts it there, with the result: what it did is not overlooked.
    return thread in getattr(thread, "idle_workers", ())


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, starting at 0; exact, as nothing but timers moves it."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6  # else a timer past 10**7 s is lost in the rounding

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As in every loop; what is due at no time at all moves nothing."""
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        # Elsewhere time passes by itself: who waits again for this instant does not for ever.
        when = max(when, math.nextafter(self.time(), math.inf))
        return super().call_at(when, callback, *args, context=context)


VIRTUAL_BACKEND: Final[tuple[str, dict[str, Any]]] = ("asyncio", {"loop_factory": VirtualLoop})
"""What a fixture ``anyio_backend`` returns to run tests in virtual time."""

VIRTUAL_CLOCK: Final = Clock(
    monotonic=anyio.current_time,
    wall=lambda: EPOCH + anyio.current_time(),
    sleep=anyio.sleep,
)
"""The clock of a registry that runs in virtual time."""


def running_clock() -> Clock:
    """The clock that fits the running loop: ``VIRTUAL_CLOCK`` in virtual time, else the system's.

    Raises RuntimeError where no loop runs.
    """
    loop = asyncio.get_running_loop()
    return VIRTUAL_CLOCK if isinstance(loop, VirtualLoop) else SYSTEM_CLOCK


def run_virtual(main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* to its end in virtual time, and return what it returns.

    Raises RuntimeError, from the loop, as soon as every task waits for something that cannot come:
    no timer, no descriptor and no thread is left. A timer in infinite time is none. A thread is
    any other that lives, also an idle one of an executor (``asyncio.to_thread``, a ledger in
    SQLite); the workers of ``anyio.to_thread`` only while they are at work.
    """
    return anyio.run(main, backend="asyncio", backend_options={"loop_factory": VirtualLoop})
