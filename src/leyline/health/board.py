"""What is known of each service, from checks and from real calls alike. Pure: takes the time."""

from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field

from leyline.health.diagnosis import LIMITED
from leyline.health.wording import failure_reason
from leyline.model import (
    REMEDIES,
    ExecutionResult,
    Failure,
    FailureKind,
    HealthReport,
    HealthStatus,
)

_DEFINITE: Final = (FailureKind.AUTH, FailureKind.CREDIT, FailureKind.NOT_FOUND)

_FAILURES_TO_GO_DOWN: Final = 3
_SUCCESSES_TO_COME_BACK: Final = 2
_UNANNOUNCED_LIMIT: Final = 60.0
_RELAPSE_WINDOW: Final = 600.0
_HOLD_STEP: Final = 60.0
_HOLD_MAX: Final = 300.0


@define
class _Entry:
    """One service on the board.

    shown: What is believed; evidence that does not convince yet leaves it as it is.
    seen_at: When the last evidence came in, convincing or not.
    limited_until, limited_by: Until when the service asked to be left alone, and its words.
    failures, successes: In a row. refusals: Those of the failures that were real calls.
    answered_at: When a real prompt was last answered.
    down: Believed to be down. down_at, back_at: When it last went down and came back.
    relapses: Times it went down again soon after coming back; down for a minute more each.
    """

    shown: HealthReport
    seen_at: float | None = None
    limited_until: float | None = None
    limited_by: str = ""
    failures: int = 0
    refusals: int = 0
    successes: int = 0
    answered_at: float | None = None
    down: bool = False
    down_at: float | None = None
    back_at: float | None = None
    relapses: int = 0

    def held(self, now: float) -> bool:
        """Whether it relapsed too recently to be trusted again."""
        return _fresh(self.down_at, now, min(_HOLD_STEP * self.relapses, _HOLD_MAX))


@define
class HealthBoard:
    """The last known state of every service, slow to change its mind.

    A service goes down after 3 failures in a row, or at once for a definite reason (not
    installed, not logged in, no credit). It comes up with its first success, and after having
    been down with 2 in a row; one that relapses within 10 minutes stays down for a minute, then
    two, up to 5. A limit that the service announced makes it degraded until then, not down.
    A check that asked no real prompt does not make up for real calls that failed.

    stale_after: Seconds without news after which a service is unknown again.

    Every ``now`` is Unix time, because services announce their limits in it.
    """

    stale_after: float = 300.0
    _entries: dict[str, _Entry] = field(factory=dict[str, _Entry], init=False)

    def record(self, report: HealthReport, now: float) -> None:
        """Take in what a check found. A report of unknown status says nothing and is ignored."""
        if report.status is HealthStatus.UNKNOWN:
            return
        entry = self._entry(report.service, now)
        if report.status is HealthStatus.UNHEALTHY:
            definite = report.installed is False or report.authenticated is False
            self._failed(entry, report, now, definite=definite, call=report.live is False)
            return
        answered_lately = _fresh(entry.answered_at, now, self.stale_after)
        if report.authenticated is False and report.live is None and answered_lately:
            # An answer a moment ago shows that the tool has a login of its own.
            report = evolve(report, status=HealthStatus.HEALTHY, authenticated=True, reason="")
        self._succeeded(entry, report, now, answered=report.live is True)

    def observe(self, service: str, result: ExecutionResult, now: float) -> None:
        """Take in how a real call went. What says nothing of the service changes nothing."""
        entry = self._entry(service, now)
        if result.success:
            self._succeeded(entry, _answered(entry.shown, now), now, answered=True)
        elif (failure := result.failure) is None:
            return
        elif failure.kind in LIMITED:
            _limit(entry, failure, now)
        elif failure.kind in _DEFINITE or REMEDIES[failure.kind].blames_service:
            definite = failure.kind in _DEFINITE
            report = _refused(entry.shown, failure, now)
            self._failed(entry, report, now, definite=definite, call=True)

    def report(self, service: str, now: float) -> HealthReport:
        """What is known of *service*; of unknown status where nothing is, or nothing recent."""
        entry = self._entries.get(service)
        if entry is None:
            return HealthReport(service=service)
        shown = entry.shown
        current = _fresh(entry.seen_at, now, self.stale_after)
        if current and entry.down:
            return shown
        if entry.limited_until is not None and now < entry.limited_until:
            return evolve(shown, status=HealthStatus.DEGRADED, reason=entry.limited_by)
        if current or shown.status is HealthStatus.UNKNOWN:
            return shown
        return evolve(shown, status=HealthStatus.UNKNOWN, reason="not checked recently")

    def usable(self, services: Iterable[str], now: float) -> list[str]:
        """Those of *services* that are not known to be down, in the order given."""
        return [service for service in services if self.report(service, now)]

    def forget(self, service: str) -> None:
        """Drop all that is known of *service*."""
        self._entries.pop(service, None)

    def _entry(self, service: str, now: float) -> _Entry:
        entry = self._entries.get(service)
        if entry is None:
            entry = self._entries[service] = _Entry(HealthReport(service=service))
        elif entry.down and not _fresh(entry.seen_at, now, self.stale_after):
            entry.down = False  # unknown by now; the failures still count as being in a row
            entry.shown = evolve(entry.shown, status=HealthStatus.UNKNOWN, reason="")
        return entry

    def _succeeded(
        self, entry: _Entry, report: HealthReport, now: float, *, answered: bool
    ) -> None:
        entry.seen_at = now
        entry.successes += 1
        if answered:
            entry.answered_at = now
            entry.refusals = 0
        entry.failures = entry.refusals
        if entry.down:
            if entry.successes < _SUCCESSES_TO_COME_BACK or entry.held(now):
                return
            entry.down = False
            entry.back_at = now
        entry.shown = report

    def _failed(
        self, entry: _Entry, report: HealthReport, now: float, *, definite: bool, call: bool
    ) -> None:
        entry.seen_at = now
        entry.successes = 0
        entry.failures += 1
        entry.refusals += call
        if not entry.down:
            if not definite and entry.failures < _FAILURES_TO_GO_DOWN:
                return
            relapsed = _fresh(entry.back_at, now, _RELAPSE_WINDOW)
            entry.relapses = entry.relapses + 1 if relapsed else 0
            entry.down = True
            entry.down_at = now
        entry.shown = report


def _fresh(at: float | None, now: float, within: float) -> bool:
    """Whether *at* lies in the last *within* seconds; a clock that was set back makes it old."""
    return at is not None and 0 <= now - at < within


def _limit(entry: _Entry, failure: Failure, now: float) -> None:
    if failure.until is not None:
        until = failure.until
    elif failure.retry_after is not None:
        until = now + failure.retry_after
    else:
        until = now + _UNANNOUNCED_LIMIT
    if entry.limited_until is None or until >= entry.limited_until:  # never shortened
        entry.limited_until = until
        entry.limited_by = failure_reason(failure)


def _answered(shown: HealthReport, now: float) -> HealthReport:
    return evolve(
        shown,
        status=HealthStatus.HEALTHY,
        installed=True,
        authenticated=True,
        live=True,
        reason="",
        checked_at=now,
    )


def _refused(shown: HealthReport, failure: Failure, now: float) -> HealthReport:
    kind = failure.kind
    return evolve(
        shown,
        status=HealthStatus.UNHEALTHY,
        installed=kind is not FailureKind.NOT_FOUND,
        authenticated=False if kind is FailureKind.AUTH else shown.authenticated,
        live=False,
        reason=failure_reason(failure),
        checked_at=now,
    )
