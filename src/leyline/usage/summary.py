"""What the book says: sums, failures and samples as frozen values, and what to look for."""

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen


@frozen(kw_only=True)
class UsageFilter:
    """Which records count. since, until: Unix time, the former included. None: no limit.

    service, session: Of this name only. None: of any.
    """

    since: float | None = None
    until: float | None = None
    service: str | None = None
    session: str | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """An SQL condition, and the values it names."""
        parts = {
            "since": ("at >= :since", self.since),
            "until": ("at < :until", self.until),
            "service": ("service = :service", self.service),
            "session": ("session = :session", self.session),
        }
        used = {name: part for name, part in parts.items() if part[1] is not None}
        words = " AND ".join(text for text, _ in used.values())
        return words or "1", {name: value for name, (_, value) in used.items()}


EVERYTHING: Final = UsageFilter()


@frozen(kw_only=True)
class UsageSummary:
    """What was spent under one key: a service, a model, a day, a session.

    key: Empty for a model that nobody named, and for the sum of all.
    runs: Processes started; succeeded and failed are those of them. refused: Calls beside them
        that started none. requests: Calls to models.
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, total_tokens: As in ``Usage``.
    cost_usd: US dollars, as far as known. None: nothing is known. estimated_usd: The part of them
        that is estimated. cost_unknown: Runs whose cost is in neither.
    seconds: Of all processes together. first_at, last_at: Unix time. None: there is no record.
    """

    key: str
    runs: int
    refused: int
    succeeded: int
    failed: int
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    cost_usd: float | None
    estimated_usd: float
    cost_unknown: int
    seconds: float
    first_at: float | None
    last_at: float | None

    @classmethod
    def of(cls, key: str, sums: Sequence[Any]) -> "UsageSummary":
        """Of the sums of the book, in their order."""
        runs, refused, succeeded, requests, *tokens = map(int, sums[:9])
        dollars, estimated, unknown, seconds, first, last = sums[9:]
        read, cached, written, reasoning, total = tokens
        return cls(
            key=key,
            runs=runs,
            refused=refused,
            succeeded=succeeded,
            failed=runs - succeeded,
            requests=requests,
            input_tokens=read,
            cached_tokens=cached,
            output_tokens=written,
            reasoning_tokens=reasoning,
            total_tokens=total,
            cost_usd=dollars if runs > unknown or not runs else None,
            estimated_usd=estimated,
            cost_unknown=int(unknown),
            seconds=seconds,
            first_at=first,
            last_at=last,
        )


@frozen(kw_only=True)
class FailureCount:
    """How often one thing went wrong with one service.

    failure: The kind of a failure; where ``refused``, what kept a process from being started.
    last_at: Unix time of the latest.
    """

    service: str
    failure: str
    refused: bool
    count: int
    last_at: float


@frozen
class Sample:
    """One record, as plots need it. dollars: None: unknown."""

    at: float
    service: str
    requests: int
    input_tokens: int
    output_tokens: int
    duration: float
    success: bool
    refused: bool
    failure: str
    dollars: float | None
    estimated: bool

    @classmethod
    def of(cls, *row: Any) -> "Sample":
        """Of a row of the book."""
        at, service, requests, read, written, seconds, success, refused, failure, *cost = row
        dollars, estimated = cost
        return cls(
            at, service, requests, read, written, seconds, bool(success), bool(refused),
            failure, dollars, bool(estimated),
        )  # fmt: skip
