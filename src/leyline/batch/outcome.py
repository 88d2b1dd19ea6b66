"""What one row's answer becomes: a line of the output, and what of it is counted."""

from typing import Any, Final

from leyline.batch.journal import Result
from leyline.batch.recipe import Row
from leyline.batch.text import one_line_of
from leyline.errors import (
    AllServicesFailedError,
    LedgerError,
    LeylineError,
    QuotaExceededError,
    RejectedError,
    ServiceNotFoundError,
)
from leyline.model import ExecutionResult, FailureKind
from leyline.routing.map import Mapped
from leyline.usage import price

_UNUSABLE: Final = frozenset({FailureKind.AUTH, FailureKind.CREDIT, FailureKind.NOT_FOUND})
"""Kinds that say nothing of a row: the next will fare no better."""


def result_of(row: Row, mapped: Mapped) -> Result:
    """What is kept of *mapped*, which came of *row*."""
    result = mapped.result
    cost, estimated = _cost(result)
    line: dict[str, Any] = {
        "id": row.id,
        "input": {name: value for name, value in row.columns.items() if name != "id"},
        "success": result.success,
        "text": result.text,
        "service": result.service or None,
        "model": result.model,
        "failure": _failure(mapped),
        "tokens": _tokens(result),
        "cost_usd": cost,
        "cost_estimated": estimated,
        "attempts": _attempts(mapped),
        "started_at": round(result.started_at, 3) or None,
        "duration": round(result.duration, 3),
        "queued": round(result.queued, 3),
    }
    return Result(
        id=row.key,
        success=result.success,
        service=result.service,
        tokens=result.usage.total_tokens,
        cost=cost,
        line=one_line_of(line),
    )


def hopeless(mapped: Mapped) -> LeylineError | None:
    """Why no row can be answered now; None: it is about this row alone, or there is an answer.

    So it is where the store of the quotas is broken, and where every service that was asked cannot
    be used at all: its command is gone, nobody is logged in.
    """
    error = mapped.error
    if isinstance(error, LedgerError):
        return error
    if not isinstance(error, AllServicesFailedError):
        return error if isinstance(error, ServiceNotFoundError) else None
    for attempt in error.attempts:
        if isinstance(attempt, LedgerError):
            return attempt
    return error if all(map(_is_unusable, error.attempts)) else None


def _is_unusable(attempt: ExecutionResult | LeylineError) -> bool:
    if isinstance(attempt, ExecutionResult):
        return attempt.failure is not None and attempt.failure.kind in _UNUSABLE
    # A quota that never has room for a row says something of the row.
    return isinstance(attempt, RejectedError) and not isinstance(attempt, QuotaExceededError)


def _failure(mapped: Mapped) -> dict[str, Any] | None:
    failure = mapped.result.failure
    if failure is None:
        return None
    message = failure.message if mapped.error is None else str(mapped.error)
    return {"kind": failure.kind, "message": message}


def _attempts(mapped: Mapped) -> int:
    """Processes that were started, on all services together."""
    if not isinstance(mapped.error, AllServicesFailedError):
        return mapped.result.attempts
    return sum(a.attempts for a in mapped.error.attempts if isinstance(a, ExecutionResult))


def _tokens(result: ExecutionResult) -> dict[str, Any]:
    usage = result.usage
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "total": usage.total_tokens,
        "measured": usage.measured,
    }


def _cost(result: ExecutionResult) -> tuple[float | None, bool]:
    """US dollars, None where nobody knows, and whether they are estimated."""
    usage = result.usage
    if usage.cost_usd is not None:
        return usage.cost_usd, False
    if not usage.measured:
        return None, False
    estimate = price(
        result.model,
        usage.input_tokens,
        usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        requests=usage.requests,
        at=result.started_at,
    )
    return estimate, estimate is not None
