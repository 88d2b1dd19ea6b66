"""Services in memory for every contender of the cascade: tasks that sleep, then answer or not."""

import asyncio
import time
from collections import deque
from random import Random

SMALL_RPM = 300
_SECONDS = 0.005


class RefusedError(Exception):
    """No answer. status: As over HTTP. retry_after: Seconds; None: not said."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"{status} from the service")
        self.status = status
        self.retry_after = retry_after


class Mock:
    """One service.

    rpm: What it answers in any minute; None: no limit. failing: Part of the rest that fails.
    status: How. vain: Runs that failed.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        rpm: int | None = None,
        failing: float = 0.0,
        status: int = 500,
    ) -> None:
        self.name, self.rpm, self.status, self.vain = name, rpm, status, 0
        self._rng, self._failing = Random(seed), failing
        self._granted: deque[float] = deque()

    async def answer(self) -> None:
        """Raises RefusedError."""
        now, granted = time.monotonic(), self._granted
        if self.rpm is not None:
            while granted and granted[0] <= now - 60.0:
                granted.popleft()
            if len(granted) >= self.rpm:
                self.vain += 1
                await asyncio.sleep(0)
                raise RefusedError(429, granted[0] + 60.0 - now)
            granted.append(now)
        await asyncio.sleep(_SECONDS)
        if self._rng.random() < self._failing:
            self.vain += 1
            raise RefusedError(self.status)


def mocks(seed: int, status: int) -> list[Mock]:
    """*small*, *flaky* and *sound*, in the order in which they are to be asked."""
    return [
        Mock("small", seed, rpm=SMALL_RPM),
        Mock("flaky", seed, failing=0.2, status=status),
        Mock("sound", seed),
    ]
