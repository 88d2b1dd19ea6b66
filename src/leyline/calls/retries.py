"""The layer of the retry: the same service once more, where that may help and can be afforded."""

from random import Random

from attrs import define, evolve

from leyline.calls.budget import Budget
from leyline.calls.job import Handler, Job
from leyline.calls.retrying import next_delay
from leyline.clock import Clock
from leyline.errors import LeylineError, SpawnError
from leyline.events import Events, RetryScheduled
from leyline.model import ExecutionResult, Failure, FailureKind
from leyline.policies import RetryPolicy


@define(kw_only=True)
class Retries:
    """Tries again by *policy* and within *budget*; each try waits for the quota anew.

    Where a later try starts nothing, what the last process said stands, and it costs no budget.
    idempotent: Whether asking twice does no harm. budget: None: as often as *policy* says.
    """

    service: str
    policy: RetryPolicy
    budget: Budget | None
    idempotent: bool
    clock: Clock
    events: Events
    rng: Random
    name: str = "retry"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        started, last, paid_at = 0, None, None
        while True:
            outcome: ExecutionResult | LeylineError
            try:
                outcome = await proceed(job)
            except LeylineError as error:
                outcome = error
                self._give_back(paid_at)
            else:
                started += 1
                last = evolve(outcome, attempts=started) if started > 1 else outcome
            paid_at = self.clock.monotonic()
            delay = self._delay(job, outcome, paid_at)
            if delay is None:
                if last is None:
                    assert isinstance(outcome, LeylineError)
                    raise outcome
                return last
            try:
                await self.clock.sleep(delay)
            except BaseException:
                self._give_back(paid_at)
                raise
            job = self._again(job)

    def _give_back(self, paid_at: float | None) -> None:
        """A try that was paid for asked the service nothing."""
        if paid_at is not None and self.budget is not None:
            self.budget.give_back(paid_at)

    def _delay(self, job: Job, outcome: ExecutionResult | LeylineError, now: float) -> float | None:
        """Seconds until the next try, which is paid for; None: there is none."""
        failure = _failure(outcome)
        if failure is None or not job.may_repeat():
            return None
        delay = next_delay(
            self.policy,
            attempt=job.attempt,
            failure=failure,
            idempotent=self.idempotent,
            started=isinstance(outcome, ExecutionResult),
            left=None if job.end_by is None else job.end_by - now,
            wall=self.clock.wall(),
            rng=self.rng,
        )
        if delay is None or (self.budget is not None and not self.budget.try_spend(now)):
            return None
        if self.events:
            self.events.emit(
                RetryScheduled(
                    service=self.service,
                    at=self.clock.wall(),
                    call=job.call.id,
                    attempt=job.attempt,
                    delay=delay,
                    reason=f"{failure.kind}: {failure.message}",
                )
            )
        return delay

    def _again(self, job: Job) -> Job:
        """The next try, which may wait for its start as long as the first."""
        start_by = None
        if job.call.max_wait is not None:
            start_by = self.clock.monotonic() + job.call.max_wait
            if job.end_by is not None:
                start_by = min(start_by, job.end_by)
        return evolve(job, attempt=job.attempt + 1, start_by=start_by)


def _failure(outcome: ExecutionResult | LeylineError) -> Failure | None:
    """What may be tried again; None: nothing went wrong, or it would go wrong again."""
    if isinstance(outcome, ExecutionResult):
        return outcome.failure
    if isinstance(outcome, SpawnError):
        return Failure(kind=FailureKind.CRASHED, message=str(outcome))
    return None
