"""The same call on several services at the same time, one result each."""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence

from leyline.errors import (
    CommandNotFoundError,
    InvalidCallError,
    LeylineError,
    QuotaExceededError,
    RegistryClosedError,
    RejectedError,
    ServiceNotFoundError,
    ServiceUnavailableError,
)
from leyline.gather import gather
from leyline.model import ExecutionResult, Failure, FailureKind


async def fan_out(
    services: Sequence[str],
    attempt: Callable[[str], Awaitable[ExecutionResult]],
    *,
    quorum: int | None = None,
) -> dict[str, ExecutionResult]:
    """Ask every one of *services* at once; the results in the order given, a name once.

    Where nothing could be started, the result has no attempts and a failure that says why.
    quorum: Once so many have succeeded, the others are stopped; their failure says so.
    Cancellation: stops them all.
    """

    async def ask(service: str) -> ExecutionResult:
        try:
            return await attempt(service)
        except LeylineError as error:
            return refused(service, error)

    def enough(results: Mapping[str, ExecutionResult]) -> bool:
        return quorum is not None and sum(r.success for r in results.values()) >= quorum

    jobs = {service: functools.partial(ask, service) for service in services}
    results = await gather(jobs, enough=enough)
    stopped = Failure(kind=FailureKind.CANCELLED, message=f"stopped, as {quorum} had succeeded")
    return {
        service: results.get(service)
        or ExecutionResult(service=service, attempts=0, failure=stopped)
        for service in jobs
    }


def refused(service: str, error: LeylineError) -> ExecutionResult:
    """The result of a call for which nothing was started; its failure says why."""
    match error:
        case CommandNotFoundError() | ServiceNotFoundError():
            kind = FailureKind.NOT_FOUND
        case InvalidCallError():
            kind = FailureKind.BAD_REQUEST
        case RegistryClosedError():
            kind = FailureKind.CANCELLED
        case QuotaExceededError():
            kind = FailureKind.RATE_LIMITED
        case ServiceUnavailableError():
            kind = FailureKind.OVERLOADED
        case _:
            kind = FailureKind.CRASHED
    retry_after = error.retry_after if isinstance(error, RejectedError) else None
    failure = Failure(kind=kind, message=str(error), retry_after=retry_after)
    return ExecutionResult(service=service, attempts=0, failure=failure)
