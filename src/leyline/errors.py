"""Every error that leyline raises. An error of a call means that no process ran.

LeylineError
├─ ConfigError (ValueError)              a configuration is wrong; every problem with its path
├─ ServiceExistsError (ValueError)       registered twice under one name
├─ ServiceNotFoundError (LookupError)    no service of that name
├─ NoServiceFitsError (LookupError)      none has all that is asked and is usable
├─ RegistryClosedError (RuntimeError)    the registry was closed, or is not open where it has to be
├─ InvalidCallError (ValueError)         the call itself cannot be run as it stands
│  └─ PromptTooLargeError                too long for an argument of a command
├─ RejectedError                         nothing was started; safe to try elsewhere
│  ├─ ServiceUnavailableError            known not to be usable: unhealthy, or its breaker is open
│  ├─ CommandNotFoundError               no such program, or it cannot be executed
│  ├─ SpawnError                         the system refused to start a process
│  └─ QuotaExceededError                 its quota has no room in time
├─ LedgerError                           the store of the quotas cannot be used
├─ UsageStoreError                       the store of the usage records cannot be used
└─ AllServicesFailedError                every service that was tried failed
"""

from difflib import get_close_matches
from typing import Final

from leyline.model import ExecutionResult

NOT_ACCEPTED: Final = "succeeded, but was not accepted"
"""What is said of an answer that *accept* refused."""


class LeylineError(Exception):
    """Base of every error that leyline raises on purpose."""


class ConfigError(LeylineError, ValueError):
    """A configuration is wrong.

    problems: Every problem found, each with its path (``services.gemini.quota_limits.rpm: …``).
    source: The file or place it came from; empty if it was built in code.
    """

    def __init__(self, problems: tuple[str, ...], source: str = "") -> None:
        super().__init__(problems, source)
        self.problems = problems
        self.source = source

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        if len(self.problems) == 1:
            return f"{where}{self.problems[0]}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{where}{len(self.problems)} problems:{lines}"


class ServiceExistsError(LeylineError, ValueError):
    """A service of this name is registered already."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.service = service

    def __str__(self) -> str:
        return (
            f'a service "{self.service}" is registered already; '
            "pass replace=True to put this one in its place"
        )


class ServiceNotFoundError(LeylineError, LookupError):
    """No service of this name is registered. known: The names that are."""

    def __init__(self, service: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(service, known)
        self.service = service
        self.known = known

    def __str__(self) -> str:
        close = get_close_matches(self.service, self.known, n=1)
        if close:
            hint = f'did you mean "{close[0]}"?'
        elif self.known:
            hint = f"known: {', '.join(self.known)}"
        else:
            hint = "none is registered yet"
        return f'no service "{self.service}"; {hint}'


class NoServiceFitsError(LeylineError, LookupError):
    """No service has all that is asked of it and can be used.

    reasons: Name and reason of each, in the order of registration: every requirement that failed,
        or why it is out.
    """

    def __init__(self, reasons: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        if not self.reasons:
            return "no service to choose from; register one first"
        lines = "".join(f"\n  {service}: {reason}" for service, reason in self.reasons)
        return f"no service fits; ask for less, or mend or register one that does:{lines}"


class RegistryClosedError(LeylineError, RuntimeError):
    """The registry was closed and starts nothing more, or it is not open where it has to be.

    reason: Which of them, and what to do.
    """

    def __init__(self, reason: str = "the registry is closed; make a new one") -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidCallError(LeylineError, ValueError):
    """The call cannot be run as it stands. Nothing was started, nothing is charged.

    service: Which service was asked. reason: What is wrong and what to do.
    """

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(service, reason)
        self.service = service
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.service}: {self.reason}"


class PromptTooLargeError(InvalidCallError):
    """The prompt is longer than an argument of a command can be."""


class RejectedError(LeylineError):
    """The service could not take the call. Nothing was started; safe to try elsewhere.

    service: Which service. reason: Why, and what to do.
    retry_after: Seconds after which to try again. None: not known.
    """

    def __init__(self, service: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(service, reason, retry_after)
        self.service = service
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.service}: {self.reason}"


class CommandNotFoundError(RejectedError):
    """The service's command does not exist or cannot be executed."""


class ServiceUnavailableError(RejectedError):
    """The service is left alone for now: its breaker is open, or it is known not to be usable."""


class SpawnError(RejectedError):
    """The system refused to start the process (descriptors, processes, memory)."""


class QuotaExceededError(RejectedError):
    """The service's quota has no room in time. Nothing was started, nothing is charged.

    limit: Name of the limit in the way (``rpm``), or ``closed`` where the service said so itself.
    used, amount: How much of it is used. retry_after: Seconds until it has room; None: not known,
        or never, where the call is larger than the limit.
    """

    def __init__(  # noqa: PLR0917  (an error's arguments are positional, so that it pickles)
        self,
        service: str,
        reason: str,
        retry_after: float | None = None,
        limit: str = "",
        used: int = 0,
        amount: int = 0,
    ) -> None:
        super().__init__(service, reason, retry_after)
        self.args = (service, reason, retry_after, limit, used, amount)
        self.limit = limit
        self.used = used
        self.amount = amount


class LedgerError(LeylineError):
    """The store that holds the quotas cannot be used. Nothing was written, nothing was started.

    store: Where it is, without a password. reason: What is wrong and what to do.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, reason)
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return f"quotas in {self.store}: {self.reason}"


class UsageStoreError(LeylineError):
    """The store of the usage records cannot be read or written. No call ever fails because of it.

    store: Where it is. reason: What is wrong and what to do.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, reason)
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return f"usage in {self.store}: {self.reason}"


class AllServicesFailedError(LeylineError):
    """Every service that was tried failed.

    attempts: What came of each, in the order tried: a result where a process ran, else the error.
    retry_after: Seconds after which the first of them has room again. None: none said when.
    """

    def __init__(
        self,
        attempts: tuple[ExecutionResult | LeylineError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(attempts, retry_after)
        self.attempts = attempts
        self.retry_after = retry_after

    def __str__(self) -> str:
        if not self.attempts:
            return "no service could be tried; register one, or see why with health_check_all()"
        lines = "".join(f"\n  {_describe(attempt)}" for attempt in self.attempts)
        if self.retry_after is not None:
            lines += f"\nthe first has room again in {self.retry_after:.1f} s; come back then"
        return f"all {len(self.attempts)} services failed:{lines}"


def _describe(attempt: ExecutionResult | LeylineError) -> str:
    if isinstance(attempt, LeylineError):
        return str(attempt)
    failure = attempt.failure
    why = f"{failure.kind}: {failure.message}" if failure else NOT_ACCEPTED
    return f"{attempt.service}: {why}"
