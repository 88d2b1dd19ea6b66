"""The same prompt to several services, or twice to one: the first good answer wins."""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from anyio.abc import TaskGroup
from attrs import define, field

from leyline.clock import Clock
from leyline.errors import AllServicesFailedError, LeylineError
from leyline.events import Events, HedgeStarted
from leyline.model import ExecutionResult
from leyline.routing.contest import Accept, Attempt, Cause, contest


@define(kw_only=True)
class Race:
    """Services that are asked at the same time, or one after the other before the first is done.

    services: In the order to be asked in; one may stand there twice.
    stagger: Seconds that each is left alone before the next is asked beside it; by service.
    afford: Whether the budget of a service has room for one more hedge; takes it.
    ask: Asks one; with True only if it can start at once.
    """

    services: Sequence[str]
    stagger: Callable[[str], float]
    afford: Callable[[str], bool]
    ask: Callable[[str, bool], Awaitable[ExecutionResult]]
    clock: Clock
    events: Events
    call: str
    _begun: float = field(init=False)
    _next: deque[str] = field(init=False)
    _lost: list[ExecutionResult | LeylineError] = field(init=False)

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
            raise AllServicesFailedError(tuple(self._lost))
        return result

    def next(self, cause: Cause, /) -> Attempt | None:
        """See ``Contenders``."""
        if not self._next:
            return None
        hedge = cause is Cause.SLOW
        if hedge and not self.afford(self._next[0]):
            return None
        service = self._next.popleft()
        if hedge:
            after = self.clock.monotonic() - self._begun
            self.events.emit(
                HedgeStarted(service=service, at=self.clock.wall(), call=self.call, after=after)
            )
        patience = self.stagger(service) if self._next else math.inf
        return Attempt(service=service, start=partial(self.ask, service, hedge), patience=patience)

    def lost(self, attempt: Attempt, outcome: ExecutionResult | LeylineError, /) -> None:
        """See ``Contenders``."""
        self._lost.append(outcome)
