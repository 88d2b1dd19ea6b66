"""The layer of the time-out: what is left of the deadline bounds the run."""

from attrs import define, evolve

from leyline.calls.job import Handler, Job
from leyline.clock import Clock
from leyline.model import ExecutionResult


@define
class Timing:
    """A run ends with its own time-out, or with the call's deadline if that is nearer."""

    clock: Clock
    name: str = "timeout"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        if job.end_by is not None:
            left = max(0.0, job.end_by - self.clock.monotonic())
            if job.timeout is None or left < job.timeout:
                job = evolve(job, timeout=left)
        return await proceed(job)
