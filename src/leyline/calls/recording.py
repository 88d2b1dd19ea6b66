"""The layer of the record: what each attempt came to, for whoever wants to know."""

import itertools
from collections.abc import Callable
from typing import Final

import anyio
from attrs import define

from leyline.calls.bookkeeping import Bookkeeping
from leyline.calls.job import Handler, Job
from leyline.calls.price import ObservedPrice
from leyline.calls.speed import Durations
from leyline.clock import Clock
from leyline.events import AttemptFinished, AttemptStarted, Events
from leyline.model import ExecutionResult

_ids: Final = itertools.count(1)


@define(kw_only=True)
class Recording:
    """Tells of each attempt, and learns how fast the service is and what it costs.

    observe: Told of every result. book: Where it is written down.
    """

    service: str
    events: Events
    observe: Callable[[ExecutionResult], None]
    clock: Clock
    durations: Durations
    price: ObservedPrice
    book: Bookkeeping
    name: str = "record"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        job.audience.started()
        if self.events:
            return await self._told(job, proceed)
        result = await self._timed(job, proceed)
        self._learn(job, result)
        return result

    async def _timed(self, job: Job, proceed: Handler) -> ExecutionResult:
        """A run that is cancelled would have taken longer: else the slow ones were never seen,
        as those are the ones that lose against a hedge."""
        began = self.clock.monotonic()
        try:
            return await proceed(job)
        except anyio.get_cancelled_exc_class():
            now = self.clock.monotonic()
            self.durations.add(now - began, now, done=False)
            started_at = self.clock.wall() - (now - began)
            self.book.stopped(job, self.service, started_at=started_at, duration=now - began)
            raise

    def _learn(self, job: Job, result: ExecutionResult) -> None:
        if result.success:
            self.durations.add(result.duration, self.clock.monotonic())
            self.price.add(result.usage)
        self.observe(result)
        self.book.ran(job, result)

    async def _told(self, job: Job, proceed: Handler) -> ExecutionResult:
        number = next(_ids)
        self.events.emit(
            AttemptStarted(
                service=self.service,
                at=self.clock.wall(),
                call=job.call.id,
                id=number,
                attempt=job.attempt,
                model=job.model,
            )
        )
        try:
            result = await self._timed(job, proceed)
        except BaseException as error:
            self._tell_the_end(job, number, error=error)
            raise
        try:
            self._learn(job, result)
        finally:
            self._tell_the_end(job, number, result=result)
        return result

    def _tell_the_end(
        self,
        job: Job,
        number: int,
        *,
        result: ExecutionResult | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.events.emit(
            AttemptFinished(
                service=self.service,
                at=self.clock.wall(),
                call=job.call.id,
                id=number,
                attempt=job.attempt,
                result=result,
                error=error,
            )
        )
