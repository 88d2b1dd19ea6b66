"""The same prompt to several services, or twice to one: the first good answer wins."""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from anyio.abc import TaskGroup
from attrs import define, field, frozen

from leyline.clock import Clock
from leyline.errors import AllServicesFailedError, LeylineError, QuotaExceededError
from leyline.events import Events, FailedOver, HedgeStarted
from leyline.model import ExecutionResult
from leyline.routing.contest import Accept, Attempt, Cause, contest, room_at
from leyline.routing.hedging import Refund
from leyline.routing.told import why


@frozen(kw_only=True)
class _Extra(Attempt):
    """One beyond the call itself. refund: Gives back what was paid for it.

    new_hedge: It is beside one that is slow, of a service that was not asked before.
    """

    refund: Refund
    new_hedge: bool


@define(kw_only=True)
class Race:
    """Services that are asked at the same time, or one after the other before the first is done.

    services: In the order to be asked in; one may stand there twice. Where a hedge could not start
        at once, its service is asked as all are when the others have failed.
    stagger: Seconds that each is left alone before the next is asked beside it; by service.
    pay: Takes from the budget of a service what is asked beyond the call itself: a hedge, and the
        same service again after a failure. It is given back where nothing was started. None: the
        budget has no room.
    ask: Asks one; with True beyond the call itself, only if it can start at once.
    """

    services: Sequence[str]
    stagger: Callable[[str], float]
    pay: Callable[[str], Refund | None]
    ask: Callable[[str, bool], Awaitable[ExecutionResult]]
    clock: Clock
    events: Events
    call: str
    _begun: float = field(init=False)
    _next: deque[str] = field(init=False)
    _refused: deque[str] = field(factory=deque[str], init=False)  # hedges that did not start
    _asked: set[str] = field(factory=set[str], init=False)
    _lost: list[ExecutionResult | LeylineError] = field(init=False)
    _room: list[float] = field(factory=list[float], init=False)  # when services said to have it
    _origin: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self.clock.monotonic()
        self._next = deque(self.services)
        self._lost = []

    async def run(self, *, group: TaskGroup, accept: Accept | None) -> ExecutionResult:
        """The first answer that is accepted; raises AllServicesFailedError if there is none.

        Losers are stopped behind the caller, and settle what they used.
        """
        result = await contest(self, group=group, accept=accept)
        if result is None:
            retry_after = None
            if self._room:
                retry_after = max(0.0, min(self._room) - self.clock.monotonic())
            raise AllServicesFailedError(tuple(self._lost), retry_after)
        return result

    def next(self, cause: Cause, /) -> Attempt | None:
        """See ``Contenders``."""
        refund = None
        for service in self._next:
            again = cause is Cause.FAILURE and service in self._asked
            extra = again or cause is Cause.SLOW
            if not extra or (refund := self.pay(service)) is not None:
                self._next.remove(service)
                break
        else:
            if cause is not Cause.FAILURE or not self._refused:
                return None
            service = self._refused.popleft()
        new = service not in self._asked
        self._asked.add(service)
        if self.events:
            self._tell(service, cause)
        start = partial(self.ask, service, refund is not None)
        patience = self.stagger(service) if self._next else math.inf
        if refund is None:
            return Attempt(service=service, start=start, patience=patience)
        return _Extra(
            service=service,
            start=start,
            patience=patience,
            refund=refund,
            new_hedge=new and cause is Cause.SLOW,
        )

    def lost(self, attempt: Attempt, outcome: ExecutionResult | LeylineError, /) -> None:
        """See ``Contenders``."""
        self._origin = attempt.service
        self._lost.append(outcome)
        if isinstance(attempt, _Extra) and isinstance(outcome, LeylineError):
            attempt.refund()
            if attempt.new_hedge and isinstance(outcome, QuotaExceededError):
                self._refused.append(attempt.service)
        if (room := room_at(outcome, self.clock)) is not None:
            self._room.append(room)

    def _tell(self, service: str, cause: Cause) -> None:
        at = self.clock.wall()
        if cause is Cause.SLOW:
            after = self.clock.monotonic() - self._begun
            self.events.emit(HedgeStarted(service=service, at=at, call=self.call, after=after))
        elif cause is Cause.FAILURE:
            reason = why(self._lost[-1])
            self.events.emit(
                FailedOver(
                    service=service, at=at, call=self.call, origin=self._origin, reason=reason
                )
            )
