"""The task group and the runner that a registry lives in, opened and closed as one."""

from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from leyline.clock import Clock
from leyline.process.runner import Runner


class Lifespan:
    """A task group with a runner in it.

    Leaving it stops every process that still runs, waits for their trees to end, and lets an
    exception of the block through as itself, never in a group.
    """

    def __init__(self, clock: Clock) -> None:
        self.group: TaskGroup = anyio.create_task_group()
        self.runner = Runner(self.group, clock)

    async def __aenter__(self) -> Self:
        await self.group.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            await self.runner.aclose()
        finally:
            if isinstance(exc, anyio.get_cancelled_exc_class()):
                swallowed = await self.group.__aexit__(exc_type, exc, traceback)
            else:
                self.group.cancel_scope.cancel()
                await self.group.__aexit__(None, None, None)
                swallowed = False
        return swallowed
