"""How the program ends: its exit codes, and which failure and which error means which."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from leyline.errors import AllServicesFailedError, LeylineError, RejectedError
from leyline.model import REMEDIES, ExecutionResult, FailureKind


class ExitCode(IntEnum):
    """What the program's exit status says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_STARTED = 3
    LATER = 4
    TIMED_OUT = 124
    INTERRUPTED = 130


EXIT_CODES: Final = """\
Exit codes:
    0  answered, or all is well
    1  the service ran but failed; a service asked about is unusable
    2  the command line or the configuration is wrong
    3  nothing could be started (no such command, no usable service)
    4  worth trying again later (rate limited, quota exhausted)
  124  timed out
  130  interrupted
"""
"""For people; shown by ``--help``."""


class CommandLineError(LeylineError):
    """What was asked for on the command line cannot be done as it stands."""


class OutputError(LeylineError):
    """Standard output cannot be written."""


class NoUsableServiceError(LeylineError):
    """There is no service that could be asked."""


def of_result(result: ExecutionResult) -> ExitCode:
    """The exit code for what a run said."""
    if result.failure is None:
        return ExitCode.OK
    kind = result.failure.kind
    if kind is FailureKind.TIMEOUT:
        return ExitCode.TIMED_OUT
    return ExitCode.LATER if REMEDIES[kind].wait else ExitCode.FAILED


def of_error(error: LeylineError) -> ExitCode:
    """The exit code where nothing ran."""
    if isinstance(error, RejectedError):
        return ExitCode.NOT_STARTED if error.retry_after is None else ExitCode.LATER
    if isinstance(error, AllServicesFailedError):
        return _of_attempts(error.attempts)
    if isinstance(error, NoUsableServiceError):
        return ExitCode.NOT_STARTED
    return ExitCode.FAILED if isinstance(error, OutputError) else ExitCode.USAGE


def _of_attempts(attempts: Sequence[ExecutionResult | LeylineError]) -> ExitCode:
    """What all have in common, else what is worth the most to know."""
    codes = {of_result(a) if isinstance(a, ExecutionResult) else of_error(a) for a in attempts}
    if len(codes) == 1:
        return codes.pop()
    if ExitCode.LATER in codes:
        return ExitCode.LATER
    ran = codes & {ExitCode.FAILED, ExitCode.TIMED_OUT}
    return ExitCode.FAILED if ran else ExitCode.NOT_STARTED
