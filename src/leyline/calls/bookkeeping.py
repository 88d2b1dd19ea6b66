"""Writes down what each process used, and each call that started none."""

from typing import Final

from attrs import frozen

from leyline.calls.call import Call
from leyline.calls.job import Job
from leyline.errors import AllServicesFailedError, LeylineError
from leyline.model import BoundCall, ExecutionResult, Failure, FailureKind
from leyline.usage import Prompt, UsageLog, record_of_refusal, record_of_result


@frozen(kw_only=True)
class Bookkeeping:
    """The book of one registry; false if it keeps none.

    session: Name of the session; empty: a new one after an hour without calls.
    keep_prompts: Keep the prompts too, not only what tells them apart.
    """

    log: UsageLog | None = None
    session: str = ""
    keep_prompts: bool = False

    def __bool__(self) -> bool:
        return self.log is not None

    def fingerprint(self, call: BoundCall) -> Prompt | None:
        """What is kept of a prompt; worked out once a call."""
        return Prompt.of(call.prompt, keep=self.keep_prompts) if self.log is not None else None

    def ran(self, job: Job, result: ExecutionResult) -> None:
        """A process has ended."""
        if self.log is not None and job.fingerprint is not None:
            self.log.record(
                record_of_result(
                    result,
                    prompt=job.fingerprint,
                    call=job.call.id,
                    attempt=job.attempt,
                    operation=job.call.operation,
                    session=self.session,
                )
            )

    def stopped(self, job: Job, service: str, *, started_at: float, duration: float) -> None:
        """A process was stopped, as nobody waits for its answer any more."""
        self.ran(
            job,
            ExecutionResult(
                service=service,
                model=job.model,
                failure=Failure(kind=FailureKind.CANCELLED, message=""),
                started_at=started_at,
                duration=duration,
                queued=max(0.0, started_at - job.queued_at),
            ),
        )

    def refused(self, error: LeylineError, request: Call, service: str, *, at: float) -> None:
        """*request* ended in *error*; where a process had run all the same, that is in the book."""
        attempts = error.attempts if isinstance(error, AllServicesFailedError) else ()
        if self.log is None or any(isinstance(one, ExecutionResult) for one in attempts):
            return
        self.log.record(
            record_of_refusal(
                error,
                at=at,
                service=service,
                model=request.model,
                queued=max(0.0, at - request.asked_at),
                prompt=Prompt.of(request.prompt, keep=self.keep_prompts),
                call=request.id,
                operation=request.operation,
                session=self.session,
            )
        )


NO_BOOK: Final = Bookkeeping()
