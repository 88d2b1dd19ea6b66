"""Spreads the starts of one process, so that a full window does not begin as one stampede."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from leyline.limits import Limit, Measure

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

_LONGEST_WINDOW: Final = 60.0
"""Seconds. Longer windows are not paced: 500 requests in five hours, used at will, are no
stampede, and one every 36 s would keep a process from a quota that has room."""

_BURST: Final = 10
"""Starts at once where nobody says how many."""


class Pacer:
    """After a *burst* at once, one start every *spacing* seconds, in one event loop at a time.

    It says nothing of what the quota allows: with an idle time it allows a burst again.
    """

    def __init__(self, *, burst: int, spacing: float) -> None:
        self.burst = burst
        self.spacing = spacing
        self._limiter: AsyncLimiter | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def ready(self) -> bool:
        """Whether a permit is there at once."""
        return self._running().has_capacity()

    async def permit(self) -> None:
        """Wait for a permit, at most *spacing* seconds if nobody else waits; cancelled, none is
        taken."""
        await self._running().acquire()

    def _running(self) -> "AsyncLimiter":
        from aiolimiter import AsyncLimiter  # slow to load, and only where starts are spread

        loop = asyncio.get_running_loop()
        if self._limiter is None or self._loop is not loop:  # a limiter belongs to one loop
            self._limiter = AsyncLimiter(self.burst, self.burst * self.spacing)
            self._loop = loop
        return self._limiter


def pacer_for(limits: Sequence[Limit], *, burst: int | None = None) -> Pacer | None:
    """At the pace of the tightest limit on requests over at most a minute; None: there is none.

    burst: Starts at once. None: ten, or what the limit allows if that is less.
    """
    paced = [
        limit
        for limit in limits
        if limit.measure is Measure.REQUESTS
        and limit.reset is None
        and limit.per <= _LONGEST_WINDOW
    ]
    if not paced:
        return None
    tightest = max(paced, key=lambda limit: limit.per / limit.amount)
    most = min(tightest.amount, _BURST) if burst is None else max(1, burst)
    return Pacer(burst=most, spacing=tightest.per / tightest.amount)
