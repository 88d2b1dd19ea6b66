"""The layer of the breaker: a service that fails is left alone for a while."""

import math

from attrs import define

from leyline.calls.breaker import Breaker, Change, Denied, Permit
from leyline.calls.job import Handler, Job
from leyline.clock import Clock
from leyline.errors import CommandNotFoundError, LeylineError, ServiceUnavailableError
from leyline.events import BreakerChanged, Events
from leyline.model import REMEDIES, BreakerState, ExecutionResult, FailureKind


@define
class Breaking:
    """Lets calls go or not, and reports what became of them.

    What is throttled, cancelled or refused by the service for the caller's own fault says nothing
    of its state. A missing command disables it: nothing is looked for again and again.
    """

    service: str
    breaker: Breaker
    clock: Clock
    events: Events
    name: str = "breaker"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        permit = self.breaker.allow(self.clock.monotonic())
        if isinstance(permit, Denied):
            raise self._denied(permit)
        self._tell(permit.change)
        try:
            result = await proceed(job)
        except CommandNotFoundError as error:
            self._tell(self.breaker.disable(error.reason))
            raise
        except BaseException:
            self.breaker.dropped(permit, self.clock.monotonic())
            raise
        self._tell(self._judge(permit, result))
        return result

    def restore(self) -> None:
        """What disabled it is mended."""
        self._tell(self.breaker.restore(self.clock.monotonic()))

    def _judge(self, permit: Permit, result: ExecutionResult) -> Change | None:
        now = self.clock.monotonic()
        if result.failure is None:
            return self.breaker.succeeded(permit, now)
        if result.failure.kind is FailureKind.NOT_FOUND:
            return self.breaker.disable(result.failure.message)
        if REMEDIES[result.failure.kind].blames_service:
            return self.breaker.failed(permit, now)
        self.breaker.dropped(permit, now)
        return None

    def _denied(self, denied: Denied) -> LeylineError:
        if denied.state is BreakerState.DISABLED:
            return CommandNotFoundError(self.service, denied.reason)
        wait = max(0.0, denied.until - self.clock.monotonic())
        seconds = math.ceil(wait)
        reason = f"it is left alone for {seconds} s: {denied.reason}"
        if denied.state is BreakerState.HALF_OPEN:
            reason = f"{denied.reason}, and one does; ask again in {seconds} s"
        return ServiceUnavailableError(self.service, reason, wait)

    def _tell(self, change: Change | None) -> None:
        if change is not None and self.events:
            self.events.emit(
                BreakerChanged(
                    service=self.service,
                    at=self.clock.wall(),
                    before=change.before,
                    after=change.after,
                    reason=change.reason,
                )
            )
