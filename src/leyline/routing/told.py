"""Tells that a call begins, and what came of it."""

from collections.abc import Awaitable, Callable
from functools import partial

from leyline.clock import Clock
from leyline.errors import LeylineError
from leyline.events import CallFinished, CallStarted, Events
from leyline.model import ExecutionResult


async def told(
    start: Callable[[], Awaitable[ExecutionResult]],
    *,
    operation: str,
    service: str = "",
    call: str,
    events: Events,
    clock: Clock,
) -> ExecutionResult:
    """What *start* returns, with an event before and after it."""
    if not events:
        return await start()
    events.emit(CallStarted(service=service, at=clock.wall(), call=call, operation=operation))
    finished = partial(CallFinished, service=service, call=call, operation=operation)
    try:
        result = await start()
    except BaseException as error:
        events.emit(finished(at=clock.wall(), result=None, error=error))
        raise
    events.emit(finished(at=clock.wall(), result=result, error=None))
    return result


def why(outcome: ExecutionResult | LeylineError) -> str:
    """Why a service that was asked did not answer, for people."""
    if not isinstance(outcome, ExecutionResult):
        return str(outcome)
    failure = outcome.failure
    return f"{failure.kind}: {failure.message}" if failure else "not accepted"
