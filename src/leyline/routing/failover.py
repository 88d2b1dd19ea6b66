"""One service after another, under one deadline, until one answers."""

import math
from collections import deque
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Final, Protocol

from anyio.abc import TaskGroup
from attrs import define, field, frozen

from leyline.clock import Clock
from leyline.errors import (
    AllServicesFailedError,
    LeylineError,
    QuotaExceededError,
    RejectedError,
)
from leyline.events import Events, FailedOver
from leyline.model import ExecutionResult
from leyline.routing.contest import Accept, Attempt, Cause, contest

_KEPT_SHARE: Final = 0.2
"""Part of the whole time that is kept for each later service; less where they are many."""

_SHORTEST_WAIT: Final = 0.05
"""Seconds between two looks at a service that refuses and says that it is about to be open."""


@frozen(kw_only=True)
class Terms:
    """How one service of a ladder is asked.

    max_wait: Seconds that its start may be waited for. seconds: For all of it; None: no limit.
    only: There is no other service. last: No other comes after it.
    """

    max_wait: float
    seconds: float | None
    only: bool
    last: bool


class Ask(Protocol):
    """Asks one service; raises a LeylineError where nothing was started."""

    def __call__(self, service: str, terms: Terms, /) -> Awaitable[ExecutionResult]: ...


@define(kw_only=True)
class Failover:
    """A ladder of services, and what became of each.

    services: In the order to be asked in. out: Those that are not asked, and why.
    seconds: For everything; None means no limit. longest_wait: Seconds to wait for the first
        service that has room again, where there is no deadline.
    call: Links the events.
    """

    services: Sequence[str]
    out: Sequence[RejectedError] = ()
    ask: Ask
    seconds: float | None
    longest_wait: float
    clock: Clock
    events: Events
    call: str
    _end: float = field(init=False)
    _next: deque[str] = field(init=False)
    _waiting: bool = field(default=False, init=False)
    _lost: dict[str, ExecutionResult | LeylineError] = field(init=False)
    _opens: dict[str, float] = field(factory=dict[str, float], init=False)
    _origin: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        seconds = math.inf if self.seconds is None else self.seconds
        self._end = self.clock.monotonic() + seconds
        self._next = deque(dict.fromkeys(self.services))
        self._lost = {}
        for error in self.out:
            self._note(error.service, error)

    async def run(self, *, group: TaskGroup, accept: Accept | None) -> ExecutionResult:
        """The first answer that is accepted; raises AllServicesFailedError with all that was tried.

        A service that cannot start at once is passed over; where no other answers, the first that
        will have room in time is waited for. None is run twice.
        """
        while True:
            result = await contest(self, group=group, accept=accept)
            if result is not None:
                return result
            opening = self._first_to_open()
            if opening is None:
                raise AllServicesFailedError(tuple(self._lost.values()))
            self._waiting = True
            self._next.append(opening)

    def next(self, cause: Cause, /) -> Attempt | None:
        """See ``Contenders``."""
        if not self._next:
            return None
        service = self._next.popleft()
        if cause is Cause.FAILURE:
            self._tell(service)
        left = self._end - self.clock.monotonic()
        terms = Terms(
            max_wait=min(left, self.longest_wait) if self._waiting else 0.0,
            seconds=None if math.isinf(left) else self._share(left, later=len(self._next)),
            only=len(self._lost.keys() | {service, *self._next}) == 1,
            last=not self._next,
        )
        return Attempt(service=service, start=partial(self._start, service, terms))

    def lost(self, attempt: Attempt, outcome: ExecutionResult | LeylineError, /) -> None:
        """See ``Contenders``."""
        self._origin = attempt.service
        self._note(attempt.service, outcome)

    async def _start(self, service: str, terms: Terms) -> ExecutionResult:
        # Who waits for a quota has a place in its queue; a breaker has none.
        if self._waiting and not isinstance(self._lost[service], QuotaExceededError):
            wait = self._opens[service] - self.clock.monotonic()
            await self.clock.sleep(max(_SHORTEST_WAIT, wait))
        return await self.ask(service, terms)

    def _note(self, service: str, outcome: ExecutionResult | LeylineError) -> None:
        self._lost.pop(service, None)  # a refusal, after which it was waited for
        self._lost[service] = outcome
        self._opens.pop(service, None)
        if isinstance(outcome, RejectedError) and outcome.retry_after is not None:
            self._opens[service] = self.clock.monotonic() + outcome.retry_after

    def _first_to_open(self) -> str | None:
        """The service that refused and has room again first, if that is soon enough."""
        now = self.clock.monotonic()
        latest = min(self._end, now + self.longest_wait)
        first = min(self._opens, key=lambda service: self._opens[service], default=None)
        return first if first is not None and self._opens[first] < latest else None

    def _share(self, left: float, *, later: int) -> float:
        """The seconds that one service may take, of those that are left, with *later* after it."""
        assert self.seconds is not None
        return max(0.0, left - later * min(left / (later + 1), self.seconds * _KEPT_SHARE))

    def _tell(self, service: str) -> None:
        if not self.events:
            return
        outcome = self._lost[self._origin]
        reason = str(outcome)
        if isinstance(outcome, ExecutionResult):
            failure = outcome.failure
            reason = f"{failure.kind}: {failure.message}" if failure else "not accepted"
        self.events.emit(
            FailedOver(
                service=service,
                at=self.clock.wall(),
                call=self.call,
                origin=self._origin,
                reason=reason,
            )
        )
