"""What happens to services, told as it happens: frozen values for one small hook."""

import inspect
import logging
from collections.abc import Callable

from attrs import frozen

from leyline.limits import QuotaLevel

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Event:
    """Something happened. service: To which. at: Unix time."""

    service: str
    at: float


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
    """Who is told; false if nobody is. A hook that raises is logged, and changes nothing.

    Raises TypeError if the hook is no plain function: nobody would wait for an async one.
    """

    hook: EventHook | None = None

    def __attrs_post_init__(self) -> None:
        given: object = self.hook
        if given is not None and (not callable(given) or inspect.iscoroutinefunction(given)):
            raise TypeError(
                f"on_event must be a plain function of one event, not async; got {given!r}; "
                "to wait for something, put the event into a queue and wait elsewhere"
            )

    def __bool__(self) -> bool:
        return self.hook is not None

    def emit(self, event: Event) -> None:
        """Tell the hook, if there is one."""
        if self.hook is None:
            return
        try:
            self.hook(event)
        except Exception:
            logger.exception("on_event raised at %r; the call goes on", event)
