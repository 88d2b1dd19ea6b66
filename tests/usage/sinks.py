"""A sink with moods, and waiting for it."""

from collections.abc import Callable, Sequence

import anyio

from leyline.errors import UsageStoreError
from leyline.usage import MemorySink, UsageRecord


class Moody(MemorySink):
    """Cannot be written while *broken*. tries: How often it was."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.tries = 0
        self.synced = 0
        self.closed = 0

    def write(self, records: Sequence[UsageRecord], /) -> int:
        self.tries += 1
        if self.broken:
            raise UsageStoreError("u.db", "the disk is full")
        return super().write(records)

    def sync(self) -> None:
        if self.broken:
            raise UsageStoreError("u.db", "the disk is full")
        self.synced += 1

    def close(self) -> None:
        self.closed += 1


async def until(done: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not done():
            await anyio.sleep(0.005)
