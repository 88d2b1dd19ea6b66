"""The same call on several services at the same time, one result each."""

from collections.abc import Awaitable, Callable, Iterable

import anyio

from leyline.errors import (
    CommandNotFoundError,
    InvalidCallError,
    LeylineError,
    RegistryClosedError,
    ServiceNotFoundError,
)
from leyline.model import ExecutionResult, Failure, FailureKind


async def fan_out(
    services: Iterable[str], attempt: Callable[[str], Awaitable[ExecutionResult]]
) -> dict[str, ExecutionResult]:
    """Ask every one of *services* at once; the results in the order given, a name once.

    Where nothing could be started, the result has no attempts and a failure that says why.
    Cancellation: stops them all.
    """
    results: dict[str, ExecutionResult | None] = dict.fromkeys(services)
    unexpected: list[Exception] = []

    async def ask(service: str) -> None:
        try:
            results[service] = await attempt(service)
        except LeylineError as error:
            results[service] = _refused(service, error)
        except Exception as error:  # raised below, as itself and not in a group
            unexpected.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for service in results:
            group.start_soon(ask, service)
    if unexpected:
        raise unexpected[0]
    return {service: result for service, result in results.items() if result is not None}


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
