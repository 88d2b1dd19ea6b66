"""The layer of the record: what each attempt came to, for whoever wants to know."""

from collections.abc import Callable

from attrs import define

from leyline.calls.job import Handler, Job
from leyline.calls.price import ObservedPrice
from leyline.calls.speed import Durations
from leyline.clock import Clock
from leyline.events import AttemptFinished, AttemptStarted, Events
from leyline.model import ExecutionResult


@define(kw_only=True)
class Recording:
    """Tells of each attempt, and learns how fast the service is and what it costs.

    observe: Told of every result.
    """

    service: str
    events: Events
    observe: Callable[[ExecutionResult], None]
    clock: Clock
    durations: Durations
    price: ObservedPrice
    name: str = "record"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        if self.events:
            return await self._told(job, proceed)
        result = await proceed(job)
        self._learn(result)
        return result

    def _learn(self, result: ExecutionResult) -> None:
        if result.success:
            self.durations.add(result.duration, self.clock.monotonic())
            self.price.add(result.usage)
        self.observe(result)

    async def _told(self, job: Job, proceed: Handler) -> ExecutionResult:
        self.events.emit(
            AttemptStarted(
                service=self.service,
                at=self.clock.wall(),
                call=job.call.id,
                attempt=job.attempt,
                model=job.model,
            )
        )
        result: ExecutionResult | None = None
        error: BaseException | None = None
        try:
            result = await proceed(job)
        except BaseException as raised:
            error = raised
            raise
        else:
            self._learn(result)
            return result
        finally:
            self.events.emit(
                AttemptFinished(
                    service=self.service,
                    at=self.clock.wall(),
                    call=job.call.id,
                    attempt=job.attempt,
                    result=result,
                    error=error,
                )
            )
