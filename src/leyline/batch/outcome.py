"""What one row's answer becomes: a line of the output, and what of it is counted."""

from typing import Any, Final

from attrs import define

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


@define
class Spending:
    """What all runs for one row came to together, also those that failed.

    runs: How many. measured: The tools reported all tokens; else some are estimated.
    cost: US dollars as far as known; None: nothing is. estimated: Some of it is, by a list of
    prices. unpriced: Nobody knows what the last answer cost.
    """

    runs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    measured: bool = False
    cost: float | None = None
    estimated: bool = False
    unpriced: bool = False

    def add(self, result: ExecutionResult) -> None:
        """Take note of one more run."""
        usage = result.usage
        if usage.total_tokens:  # else there is nothing that could have been estimated
            self.measured = usage.measured and (self.measured or not self.total_tokens)
        self.runs += 1
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.total_tokens += usage.total_tokens
        cost, estimated = _cost(result)
        self.unpriced = result.success and cost is None
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
            self.estimated = self.estimated or estimated


def result_of(row: Row, mapped: Mapped, spent: Spending) -> Result:
    """What is kept of *mapped*, which came of *row*."""
    result = mapped.result
    line: dict[str, Any] = {
        "id": row.id,
        "input": {name: value for name, value in row.columns.items() if name != "id"},
        "success": result.success,
        "text": result.text,
        "service": result.service or None,
        "model": result.model,
        "failure": _failure(mapped),
        "tokens": {
            "input": spent.input_tokens,
            "output": spent.output_tokens,
            "total": spent.total_tokens,
            "measured": spent.measured,
        },
        "cost_usd": spent.cost,
        "cost_estimated": spent.estimated,
        "attempts": spent.runs,
        "started_at": round(result.started_at, 3) or None,
        "duration": round(result.duration, 3),
        "queued": round(result.queued, 3),
    }
    return Result(
        id=row.key,
        success=result.success,
        service=result.service,
        tokens=spent.total_tokens,
        cost=spent.cost,
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
