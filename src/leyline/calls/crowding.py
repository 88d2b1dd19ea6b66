"""The layer of the concurrency: as many runs at once as the service bears."""

from attrs import define

from leyline.calls.concurrency import Gate
from leyline.calls.job import Handler, Job
from leyline.clock import Clock
from leyline.errors import QuotaExceededError
from leyline.model import ExecutionResult, FailureKind

_TOO_MUCH = frozenset({FailureKind.OVERLOADED, FailureKind.RATE_LIMITED})


@define
class Crowding:
    """Holds a place for each run, and learns from it whether there were too many."""

    service: str
    gate: Gate
    clock: Clock
    name: str = "concurrency"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        wait = None if job.start_by is None else job.start_by - self.clock.monotonic()
        async with self.gate.enter(max_wait=wait, priority=job.call.priority) as ticket:
            if ticket is None:
                raise self._crowded()
            result = await proceed(job)
            if result.success:
                ticket.overloaded = False
            elif result.failure is not None and result.failure.kind in _TOO_MUCH:
                ticket.overloaded = True
            return result

    def _crowded(self) -> QuotaExceededError:
        limit = self.gate.limit
        return QuotaExceededError(
            self.service,
            f"it bears {limit.limit} runs at once since it was overloaded, and {limit.in_flight} "
            "are under way; wait longer, or ask for less at once",
            limit="concurrency",
            used=limit.in_flight,
            amount=limit.limit,
        )
