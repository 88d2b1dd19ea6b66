"""What the three tiers of a check found, made into one report. Pure."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from leyline.config import ServiceConfig
from leyline.errors import CommandNotFoundError, LeylineError
from leyline.health.wording import failure_reason, reason_of
from leyline.model import (
    Completed,
    ExecutionResult,
    FailureKind,
    HealthReport,
    HealthStatus,
    StopReason,
)
from leyline.redaction import redact
from leyline.wording import STATUS_LOST, first_line, last_lines, one_line

CHECK_SECONDS: Final = 30.0
"""After so long a command of a check is stopped. Tools take up to a second of CPU to start, and
many are checked at the same time."""

LIMITED: Final = (FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED)
"""Failures of a service that is well, but wants to be left alone for a while."""

_MAX_VERSION: Final = 100
_MAX_SAID: Final = 200

_SEVERITY: Final[Mapping[HealthStatus, int]] = {
    HealthStatus.HEALTHY: 0,
    HealthStatus.DEGRADED: 1,
    HealthStatus.UNKNOWN: 2,  # what could not be looked at may hide anything
    HealthStatus.UNHEALTHY: 3,
}

Ran = Completed | LeylineError
"""What became of a command: what it left behind, or why it could not be started."""


@frozen(kw_only=True)
class Findings:
    """What the tiers found; None where one was not asked.

    missing: Why the service's command cannot be run.
    key_set: Whether the variable of its key is set. None: it uses none.
    custom, version, login: What became of ``health_check_cmd``, ``version_cmd`` and
        ``auth_check_cmd``.
    live: What became of a real prompt.
    """

    missing: CommandNotFoundError | None = None
    key_set: bool | None = None
    custom: Ran | None = None
    version: Ran | None = None
    login: Ran | None = None
    live: ExecutionResult | LeylineError | None = None


@frozen(kw_only=True)
class _Opinion:
    """What one tier alone would say."""

    status: HealthStatus = HealthStatus.HEALTHY
    reason: str = ""
    authenticated: bool | None = None
    live: bool | None = None


def diagnose(config: ServiceConfig, found: Findings, *, secret: str = "") -> HealthReport:
    """One report from all that was found: the worst of the tiers, with its reason.

    A real answer outweighs every hint that there would be none; only the user's own check
    (``health_check_cmd``) still counts beside it.

    secret: The service's key; it does not reach the report.
    """
    if found.missing is not None:
        return HealthReport(
            service=config.name,
            status=HealthStatus.UNHEALTHY,
            installed=False,
            reason=reason_of(found.missing),
        )
    custom = _of_custom(found.custom, secret)
    live = _of_live(found.live, secret)
    login = _of_login(config, found, secret)
    opinions = (
        [custom, live] if live.live else [custom, login, _of_version(found.version, secret), live]
    )
    worst = max(opinions, key=lambda opinion: _SEVERITY[opinion.status])
    authenticated = login.authenticated if live.authenticated is None else live.authenticated
    return HealthReport(
        service=config.name,
        status=worst.status,
        installed=True,
        authenticated=authenticated,
        live=live.live,
        version=_version(found.version, secret),
        reason=one_line(worst.reason),
    )


def _of_custom(ran: Ran | None, secret: str) -> _Opinion:
    """Exit status 0 is passing, 1 a warning, anything else critical."""
    if ran is None:
        return _Opinion()
    if isinstance(ran, LeylineError) or ran.exit_code is None:
        return _unfinished("health_check_cmd", ran)
    if ran.exit_code == 0:
        return _Opinion()
    status = HealthStatus.DEGRADED if ran.exit_code == 1 else HealthStatus.UNHEALTHY
    return _Opinion(status=status, reason=_ending("health_check_cmd", ran, secret))


def _of_version(ran: Ran | None, secret: str) -> _Opinion:
    """A version that cannot be read is no proof that prompts would not be answered."""
    if ran is None:
        return _Opinion()
    if isinstance(ran, LeylineError) or ran.exit_code is None:
        return _unfinished("version_cmd", ran)
    if ran.exit_code == 0:
        return _Opinion()
    return _Opinion(status=HealthStatus.DEGRADED, reason=_ending("version_cmd", ran, secret))


def _of_login(config: ServiceConfig, found: Findings, secret: str) -> _Opinion:
    """The tool's own word where it has one, else whether the variable is set."""
    ran = found.login
    if ran is None:
        return _of_key(config, found.key_set)
    present = found.key_set or None  # a login may be there where no key is
    if isinstance(ran, LeylineError) or ran.exit_code is None:
        return _unfinished("auth_check_cmd", ran, authenticated=present)
    if ran.exit_code == 0:
        return _Opinion(authenticated=True)
    ending = _ending("auth_check_cmd", ran, secret)
    if ran.exit_code < 0:  # it crashed, which is no "no"
        return _Opinion(status=HealthStatus.DEGRADED, reason=ending, authenticated=present)
    if found.key_set:  # which a tool's own command need not know of
        status = HealthStatus.DEGRADED
        reason = f"not logged in, but {config.auth_env_var} is set ({ending})"
    else:
        status = HealthStatus.UNHEALTHY
        hint = f", or set {config.auth_env_var}" if found.key_set is False else ""
        reason = f"not logged in; log in with {config.command}{hint} ({ending})"
    return _Opinion(status=status, reason=reason, authenticated=False)


def _of_key(config: ServiceConfig, key_set: bool | None) -> _Opinion:
    """A missing key degrades only: the tool may have a login of its own, as an answer shows."""
    if key_set is not False:
        return _Opinion(authenticated=key_set)
    return _Opinion(
        status=HealthStatus.DEGRADED,
        reason=f"{config.auth_env_var} is not set; set it, or log in with {config.command}",
        authenticated=False,
    )


def _of_live(result: ExecutionResult | LeylineError | None, secret: str) -> _Opinion:
    if result is None:
        return _Opinion()
    if isinstance(result, LeylineError):
        reason = f"no prompt could be sent: {reason_of(result)}"
        return _Opinion(status=HealthStatus.UNKNOWN, reason=reason)
    if result.success:
        return _Opinion(live=True, authenticated=True)
    failure = result.failure
    if failure is None:
        reason = "the prompt was not answered"
        return _Opinion(status=HealthStatus.UNHEALTHY, reason=reason, live=False)
    reason = redact(failure_reason(failure), [secret])
    if failure.kind is FailureKind.CANCELLED:
        return _Opinion(status=HealthStatus.UNKNOWN, reason=reason)
    return _Opinion(
        status=HealthStatus.DEGRADED if failure.kind in LIMITED else HealthStatus.UNHEALTHY,
        reason=reason,
        authenticated=False if failure.kind is FailureKind.AUTH else None,
        live=False,
    )


def _unfinished(name: str, ran: Ran, *, authenticated: bool | None = None) -> _Opinion:
    """A command that hangs speaks against the service; what leyline could not do, does not."""
    status = HealthStatus.UNKNOWN
    if isinstance(ran, LeylineError):
        reason = f"{name} could not be run: {reason_of(ran)}"
    elif ran.stopped is StopReason.TIMEOUT:
        status = HealthStatus.UNHEALTHY
        reason = f"{name} did not answer within {CHECK_SECONDS:g} s; run it by hand to see why"
    elif ran.stopped is StopReason.OUTPUT_TOO_LARGE:
        reason = f"{name} was stopped because it wrote too much; name a command that writes little"
    elif ran.stopped is None:
        reason = f"{name} tells nothing: {STATUS_LOST}"
    else:
        reason = f"{name} was stopped because the registry was closed"
    return _Opinion(status=status, reason=reason, authenticated=authenticated)


def _ending(name: str, ran: Completed, secret: str) -> str:
    """How a command ended and what it said last."""
    said = last_lines(_text(ran.stderr, secret) or _text(ran.stdout, secret), _MAX_SAID)
    code = ran.exit_code or 0
    how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
    return f"{name} {how}: {said}" if said else f"{name} {how}"


def _version(ran: Ran | None, secret: str) -> str:
    if not isinstance(ran, Completed) or ran.exit_code != 0:
        return ""
    stdout = first_line(_text(ran.stdout, secret), _MAX_VERSION)
    return stdout or first_line(_text(ran.stderr, secret), _MAX_VERSION)


def _text(output: bytes, secret: str) -> str:
    """Redacted before anything is cut off, so that no part of a secret is left."""
    return redact(output.decode(errors="replace"), [secret]).strip()
