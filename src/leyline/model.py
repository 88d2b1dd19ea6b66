"""The vocabulary that every room shares: calls, results, failures, health. Frozen values only."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from attrs import field, frozen


class FailureKind(StrEnum):
    """Why a run did not give an answer. ``REMEDIES`` says what may be done about each kind."""

    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    AUTH = "auth"
    CREDIT = "credit"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_TOO_LONG = "context_too_long"
    OVERLOADED = "overloaded"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    EMPTY = "empty"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    OUTPUT_TOO_LARGE = "output_too_large"


@frozen
class Remedy:
    """What may be done about a kind of failure.

    retry: The same service may be asked again, after a short delay.
    elsewhere: Another service may answer where this one could not.
    wait: The service says, or is known, to recover at a point in time.
    blames_service: It is evidence that the service is unwell, and counts against its breaker.
    """

    retry: bool = False
    elsewhere: bool = False
    wait: bool = False
    blames_service: bool = False


REMEDIES: Final[Mapping[FailureKind, Remedy]] = MappingProxyType(
    {
        FailureKind.RATE_LIMITED: Remedy(elsewhere=True, wait=True),
        FailureKind.QUOTA_EXHAUSTED: Remedy(elsewhere=True, wait=True),
        FailureKind.AUTH: Remedy(elsewhere=True),
        FailureKind.CREDIT: Remedy(elsewhere=True),
        FailureKind.MODEL_NOT_FOUND: Remedy(elsewhere=True),
        FailureKind.CONTEXT_TOO_LONG: Remedy(elsewhere=True),
        FailureKind.OVERLOADED: Remedy(retry=True, elsewhere=True, blames_service=True),
        FailureKind.SERVER: Remedy(retry=True, elsewhere=True, blames_service=True),
        FailureKind.NETWORK: Remedy(retry=True, elsewhere=True, blames_service=True),
        FailureKind.TIMEOUT: Remedy(elsewhere=True, blames_service=True),
        FailureKind.EMPTY: Remedy(retry=True, elsewhere=True, blames_service=True),
        FailureKind.BAD_REQUEST: Remedy(),
        FailureKind.NOT_FOUND: Remedy(elsewhere=True),
        FailureKind.CRASHED: Remedy(retry=True, elsewhere=True, blames_service=True),
        FailureKind.CANCELLED: Remedy(),
        FailureKind.OUTPUT_TOO_LARGE: Remedy(elsewhere=True),
    }
)


@frozen(kw_only=True)
class Failure:
    """Why a run failed.

    kind: What decisions are made on.
    message: For people; the tool's own words where it had any, secrets removed.
    retry_after: Seconds that the service asked to wait, from the end of the run. None: not said.
    until: Unix time at which the service said it will answer again. None: not said.
    """

    kind: FailureKind
    message: str
    retry_after: float | None = None
    until: float | None = None


@frozen(kw_only=True)
class Usage:
    """What one result cost.

    input_tokens: Tokens of the prompt, cached ones included. cached_tokens: those of them.
    output_tokens: Tokens of the answer, reasoning included. reasoning_tokens: those of them.
    total_tokens: Input and output.
    requests: Calls to the model; one prompt can take several.
    cost_usd: US dollars as reported by the tool. None: unknown, which is not zero.
    measured: True if the tool reported tokens, False if they were estimated.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    requests: int = 1
    cost_usd: float | None = None
    measured: bool = False


class Priority(IntEnum):
    """Who goes before whom while a quota is short. Nobody starves."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@frozen(kw_only=True)
class BoundCall:
    """One prompt for one service.

    prompt: The text, sent unchanged. files: Paths, in order.
    model: None means the service's default. timeout: Seconds for the run; None means no limit.
    cwd: Working directory of the tool. None means the caller's.
    max_wait: Seconds until it has to start. deadline: Seconds until it has to have ended. None
        means no limit. priority: Before or after others that wait for the same quota.
    id: What its events are known by. operation: The method of the registry that was called.
    """

    prompt: str
    files: tuple[str, ...] = ()
    model: str | None = None
    timeout: float | None = None
    cwd: str | None = None
    max_wait: float | None = None
    deadline: float | None = None
    priority: Priority = Priority.NORMAL
    id: str = ""
    operation: str = "execute"


@frozen(kw_only=True)
class ExecutionResult:
    """What one run said. A result means that a process ran; where none did, there is an exception.

    success: The tool finished, says nothing to the contrary, and gave an answer that is not blank.
    stdout, stderr: As written, decoded as UTF-8 with replacement, secrets removed. Past the
        service's cap the middle is cut out, and a note stands in its place.
    exit_code: Exit status; negative is a signal. -1 where leyline stopped the process itself, or
        where the status was lost.
    duration: Seconds from the start of the process to its result.
    tokens_used: ``usage.total_tokens``.
    text: The answer alone. Empty where there is none.
    service, model: Who answered; the model is None where neither the call nor the tool named one.
    usage: Tokens, requests and cost. failure: Why not; None if ``success``.
    attempts: Processes started for this result.
    started_at: Unix time at which the process started.
    queued: Seconds between the call and the start of the process.
    pid: Process id of the tool. None if unknown.
    """

    success: bool = False
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    exit_code: int = -1
    duration: float = 0.0
    tokens_used: int = 0
    text: str = ""
    service: str = ""
    model: str | None = None
    usage: Usage = field(factory=Usage)
    failure: Failure | None = None
    attempts: int = 1
    started_at: float = 0.0
    queued: float = 0.0
    pid: int | None = None


class StopReason(StrEnum):
    """Why leyline stopped a process that had not ended by itself."""

    TIMEOUT = "timeout"
    CLOSED = "closed"
    OUTPUT_TOO_LARGE = "output_too_large"
    GIVEN_UP = "given_up"


class Listener(Protocol):
    """Hears what a process writes, while it runs, some milliseconds after it was written.

    stdout, stderr: What came since the last time; cut anywhere. True: stop the process.
    All that was written before its end has been heard when the run returns.
    """

    def stdout(self, data: bytes, /) -> bool: ...
    def stderr(self, data: bytes, /) -> bool: ...


@frozen(kw_only=True)
class Command:
    """One process to run.

    argv: Program and arguments; the program is a path. stdin: What it reads, then end of file.
    env: The whole environment. tmpdir: Private folder, made for the run and removed after it.
    cwd: None means the caller's. timeout: Seconds; None means no limit.
    grace: Seconds between SIGTERM and SIGKILL.
    max_output: Bytes of each stream past which the process is stopped.
    read_files: Files to read when it has ended, by name.
    pass_fds: Descriptors that it inherits, beside its standard streams; they stay ours to close.
    """

    argv: tuple[str, ...]
    stdin: bytes = field(default=b"", repr=False)
    env: Mapping[str, str] = field(repr=False)
    tmpdir: str
    cwd: str | None = None
    timeout: float | None = None
    grace: float = 2.0
    max_output: int = 32 * 2**20
    read_files: Mapping[str, str] = field(factory=dict[str, str])
    pass_fds: tuple[int, ...] = ()


@frozen(kw_only=True)
class Completed:
    """What a process left behind.

    exit_code: Exit status, negative for a signal. None if it was stopped by leyline, or if the
        status was lost: taken by the system, where SIGCHLD is ignored, or by the program around.
    stdout, stderr: The bytes; where ``truncated``, the start and the end of them.
    files: Contents of those of ``Command.read_files`` that exist.
    stopped: Why leyline stopped it. None if it ended by itself.
    started_at: Unix time. duration: Seconds. pid: Its process id.
    """

    exit_code: int | None
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(factory=dict[str, bytes], repr=False)
    stopped: StopReason | None = None
    truncated: bool = False
    started_at: float = 0.0
    duration: float = 0.0
    pid: int = 0


class BreakerState(StrEnum):
    """Whether a service is asked: closed means that it is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    DISABLED = "disabled"


class HealthStatus(StrEnum):
    """How usable a service is. Unknown counts as usable."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@frozen(kw_only=True)
class HealthReport:
    """What is known of one service; true where it can be used.

    installed: The command was found and can be run. None: not looked at.
    authenticated: A key or login is there. None: not known.
    live: A real prompt was answered. None: not tried.
    version: As the tool prints it. reason: For people; why it is not healthy.
    checked_at: Unix time. duration: Seconds that the check took.
    """

    service: str
    status: HealthStatus = HealthStatus.UNKNOWN
    installed: bool | None = None
    authenticated: bool | None = None
    live: bool | None = None
    version: str = ""
    reason: str = ""
    checked_at: float = 0.0
    duration: float = 0.0

    def __bool__(self) -> bool:
        return self.status is not HealthStatus.UNHEALTHY


class RunCommand(Protocol):
    """Runs a small command to its end; what health checks are handed.

    argv: Program (a name on PATH or a path) and arguments. timeout: Seconds, after which the
    process tree is killed and the result says so.
    Raises CommandNotFoundError or SpawnError if nothing could be started.
    """

    async def __call__(self, argv: tuple[str, ...], /, *, timeout: float) -> Completed: ...
