"""The same call on several services at the same time, one result each."""

import functools
from collections.abc import Awaitable, Callable, Iterable

from leyline.errors import (
    CommandNotFoundError,
    InvalidCallError,
    LeylineError,
    RegistryClosedError,
    ServiceNotFoundError,
)
from leyline.gather import gather
from leyline.model import ExecutionResult, Failure, FailureKind


async def fan_out(
    services: Iterable[str], attempt: Callable[[str], Awaitable[ExecutionResult]]
) -> dict[str, ExecutionResult]:
    """Ask every one of *services* at once; the results in the order given, a name once.

    Where nothing could be started, the result has no attempts and a failure that says why.
    Cancellation: stops them all.
    """

    async def ask(service: str) -> ExecutionResult:
        try:
            return await attempt(service)
        except LeylineError as error:
            return _refused(service, error)

    return await gather({service: functools.partial(ask, service) for service in services})


def _refused(service: str, error: LeylineError) -> ExecutionResult:
    match error:
        case CommandNotFoundError() | ServiceNotFoundError():
            kind = FailureKind.NOT_FOUND
        case InvalidCallError():
            kind = FailureKind.BAD_REQUEST
        case RegistryClosedError():
            kind = FailureKind.CANCELLED
        case _:
            kind = FailureKind.CRASHED
    return ExecutionResult(
        service=service, attempts=0, failure=Failure(kind=kind, message=str(error))
    )
