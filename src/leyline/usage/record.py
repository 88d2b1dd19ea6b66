"""What is kept of one process, or of one call that was refused: a frozen value, and its makers."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen

from leyline.model import ExecutionResult

Estimate = Callable[["UsageRecord"], float | None]
"""US dollars that a record probably cost. None: the price is not known."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@frozen(kw_only=True)
class UsageRecord:
    """One process that was started, or one call that was refused and started none.

    at: Unix time at which the process started, or the call was refused.
    session: Empty: a new one after an hour without any; decided when it is written.
    model: Who answered, as far as known. operation: What the caller asked for (``execute``).
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, total_tokens, requests: As in
        ``Usage``. measured: The tool reported the tokens; else they were estimated.
    cost_usd: US dollars. None: unknown, which is not zero. cost_estimated: By a list of prices.
    refused: No process was started. failure: Its kind, or what refused it; empty on success.
    duration: Seconds of the process. queued: Seconds from the call to its start, or refusal.
    attempt: How often it was tried on this service. call: Id that all records of a call share.
    prompt_sha256: Of the prompt as UTF-8, in hexadecimal. prompt_bytes: Its length.
    prompt: Itself, where the caller wants it kept. metadata: Whatever the caller wants beside it.
    """

    at: float
    session: str = ""
    service: str
    model: str | None = None
    operation: str = "execute"
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    requests: int = 0
    measured: bool = False
    cost_usd: float | None = None
    cost_estimated: bool = False
    success: bool = False
    refused: bool = False
    failure: str = ""
    duration: float = 0.0
    queued: float = 0.0
    attempt: int = 1
    call: str = ""
    prompt_sha256: str = ""
    prompt_bytes: int = 0
    prompt: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] = _NOTHING


@frozen
class Prompt:
    """What a record keeps of a prompt; made once for all attempts of a call."""

    sha256: str
    length: int
    text: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: str, *, keep: bool = False) -> "Prompt":
        """keep: Keep the prompt itself too."""
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(data, usedforsecurity=False).hexdigest()
        return cls(digest, len(data), text if keep else None)


def record_of_result(
    result: ExecutionResult,
    *,
    prompt: Prompt,
    call: str = "",
    attempt: int = 1,
    operation: str = "execute",
    session: str = "",
    metadata: Mapping[str, Any] = _NOTHING,
) -> UsageRecord:
    """The record of a process that ran."""
    usage = result.usage
    return UsageRecord(
        at=result.started_at,
        session=session,
        service=result.service,
        model=result.model,
        operation=operation,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        total_tokens=usage.total_tokens,
        requests=usage.requests,
        measured=usage.measured,
        cost_usd=usage.cost_usd,
        success=result.success,
        failure="" if result.failure is None else result.failure.kind.value,
        duration=result.duration,
        queued=result.queued,
        attempt=attempt,
        call=call,
        prompt_sha256=prompt.sha256,
        prompt_bytes=prompt.length,
        prompt=prompt.text,
        metadata=metadata,
    )


def record_of_refusal(
    error: BaseException,
    *,
    at: float,
    service: str,
    prompt: Prompt,
    model: str | None = None,
    queued: float = 0.0,
    call: str = "",
    attempt: int = 1,
    operation: str = "execute",
    session: str = "",
    metadata: Mapping[str, Any] = _NOTHING,
) -> UsageRecord:
    """The record of a call that *error* kept from starting a process; it cost nothing.

    at: Unix time of the refusal. queued: Seconds that the caller had waited by then.
    """
    return UsageRecord(
        at=at,
        session=session,
        service=service,
        model=model,
        operation=operation,
        cost_usd=0.0,
        refused=True,
        failure=refusal_kind(error),
        queued=queued,
        attempt=attempt,
        call=call,
        prompt_sha256=prompt.sha256,
        prompt_bytes=prompt.length,
        prompt=prompt.text,
        metadata=metadata,
    )


def refusal_kind(error: BaseException) -> str:
    """What an error is called in records: ``quota_exceeded`` for a QuotaExceededError."""
    name = type(error).__name__.removesuffix("Error")
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return "_".join(words.split())
