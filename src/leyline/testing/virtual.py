"""An event loop whose time jumps to the next timer: days of waiting in milliseconds.

For code whose waiting is all timers and events. Worker threads are not seen; live processes
belong to real time. ::

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
from typing import Any, Final, TypeVar

import anyio

from leyline.clock import SYSTEM_CLOCK, Clock

T = TypeVar("T")

EPOCH: Final = 1_800_000_000.0
"""Unix time at which virtual time begins."""


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
            if threading.active_count() > 1:  # a thread may still wake the loop
                return self._wait(None)
            raise RuntimeError("deadlock: every task waits, and no timer or descriptor is left")
        self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return []

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        started = time.monotonic()
        ready = super().select(timeout)
        self.now += time.monotonic() - started
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, starting at 0; exact, as nothing but timers moves it."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6  # else a timer past 10**7 s is lost in the rounding

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now

    def call_at(  # type: ignore[override]  # it takes what the one in the class above takes
        self, when: float, *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        """As in every loop."""
        # Elsewhere time passes by itself: who waits again for this instant does not for ever.
        return super().call_at(max(when, math.nextafter(self.time(), math.inf)), *args, **options)


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

    Raises RuntimeError, from the loop, as soon as every task waits for something that cannot come.
    """
    return anyio.run(main, backend="asyncio", backend_options={"loop_factory": VirtualLoop})
