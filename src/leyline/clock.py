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

    async def sleep_until(self, at: float) -> None:
        """Wait until *at*, in seconds of ``monotonic``.

        Timers are late in proportion, one of minutes by tens of milliseconds; so its last part is
        slept apart.
        """
        while (left := at - self.monotonic()) >= 1.0:
            await self.sleep(0.99 * left)
        await self.sleep(max(0.0, left))


SYSTEM_CLOCK: Final = Clock()
