"""Time, injectable. Every duration is a float in seconds."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from attrs import frozen


@frozen(kw_only=True)
class Clock:
    """Where time comes from.

    monotonic: Seconds that only go forward; for durations and deadlines.
    wall: Unix time; only where people mean it (stamps, daily limits).
    sleep: Waits that many seconds.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


SYSTEM_CLOCK: Final = Clock()
