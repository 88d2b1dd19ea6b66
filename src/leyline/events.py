"""What happens to services, told as it happens: frozen values for one small hook."""

import logging
from collections.abc import Callable

from attrs import frozen

from leyline.arguments import refuse_async
from leyline.limits import QuotaLevel
from leyline.model import BreakerState, ExecutionResult, HealthStatus

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Event:
    """Something happened. service: To which. at: Unix time."""

    service: str
    at: float


@frozen(kw_only=True)
class CallStarted(Event):
    """Somebody asked for something. service: Empty where it may be one of several.

    call: Links all events of one call. operation: The method of the registry.
    """

    call: str
    operation: str


@frozen(kw_only=True)
class CallFinished(Event):
    """A call is over. result: What it returned. error: What it raised, cancellation included."""

    call: str
    operation: str
    result: ExecutionResult | None
    error: BaseException | None


@frozen(kw_only=True)
class AttemptStarted(Event):
    """A process is about to be started. attempt: How often it was tried on this service, with this.

    call: Empty for the prompt of a health check. id: Links it with its end; once in a process, also
        where one call asks the same service twice at a time. model: What the tool is told; None:
        its own choice.
    """

    call: str
    id: int
    attempt: int
    model: str | None


@frozen(kw_only=True)
class AttemptFinished(Event):
    """A process has ended, or could not be started. result, error: One of them is there.

    That of a loser may come after the end of its call, for which nobody waits.
    """

    call: str
    id: int
    attempt: int
    result: ExecutionResult | None
    error: BaseException | None


@frozen(kw_only=True)
class RetryScheduled(Event):
    """The same service will be tried again. attempt: The one that failed. delay: Seconds."""

    call: str
    attempt: int
    delay: float
    reason: str


@frozen(kw_only=True)
class HedgeStarted(Event):
    """*service* is asked too, as the first answer is slow. after: Seconds since the call."""

    call: str
    after: float


@frozen(kw_only=True)
class FailedOver(Event):
    """*service* is asked, as *origin* did not answer: in a cascade, or in a race before its turn.

    reason: Why it did not.
    """

    call: str
    origin: str
    reason: str


@frozen(kw_only=True)
class BreakerChanged(Event):
    """The breaker of a service opened, half opened, closed, or disabled it. reason: Why."""

    before: BreakerState
    after: BreakerState
    reason: str


@frozen(kw_only=True)
class HealthChanged(Event):
    """A service was seen in another state of health than before. reason: Why."""

    before: HealthStatus
    after: HealthStatus
    reason: str


@frozen(kw_only=True)
class QuotaLevelChanged(Event):
    """The quota *account* was seen at another level than before: at a booking, or a status."""

    account: str
    before: QuotaLevel
    after: QuotaLevel


EventHook = Callable[[Event], None]
"""Called in the event loop, between two steps of a call: it must be quick, and must not wait."""


@frozen
class Events:
    """Who is told; false if nobody is. A hook that raises is logged, and changes nothing; only
    KeyboardInterrupt and SystemExit mean the whole program, and go on.

    Raises TypeError if the hook is no plain function: nobody would wait for an async one.
    """

    hook: EventHook | None = None

    def __attrs_post_init__(self) -> None:
        if self.hook is not None:
            instead = "to wait for something, put the event into a queue and wait elsewhere"
            refuse_async(self.hook, "on_event", "event", instead)

    def __bool__(self) -> bool:
        return self.hook is not None

    def emit(self, event: Event) -> None:
        """Tell the hook, if there is one."""
        if self.hook is None:
            return
        try:
            self.hook(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # also of a cancellation that is not the call's
            what = type(event).__name__  # an event may hold an answer, which is in no log
            logger.exception("on_event raised at %s of %s; it goes on", what, event.service)
