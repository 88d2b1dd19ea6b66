"""Tells that a call begins, and what came of it."""

from collections.abc import Awaitable, Callable

from leyline.clock import Clock
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
    result: ExecutionResult | None = None
    error: BaseException | None = None
    try:
        result = await start()
    except BaseException as raised:
        error = raised
        raise
    else:
        return result
    finally:
        events.emit(
            CallFinished(
                service=service,
                at=clock.wall(),
                call=call,
                operation=operation,
                result=result,
                error=error,
            )
        )
