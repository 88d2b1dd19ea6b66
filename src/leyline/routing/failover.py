"""One service after another, under one deadline, until one answers."""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

from anyio.abc import TaskGroup
from attrs import Factory, define, field, frozen

from leyline.clock import Clock
from leyline.errors import (
    AllServicesFailedError,
    LeylineError,
    QuotaExceededError,
    RejectedError,
)
from leyline.events import Events, FailedOver
from leyline.model import REMEDIES, ExecutionResult, Priority
from leyline.routing.contest import (
    AT_ONCE,
    Accept,
    Attempt,
    Cause,
    contest,
    may_go_elsewhere,
    room_at,
)
from leyline.routing.line import PATIENCE, Line, Place
from leyline.routing.told import why

_KEPT_SHARE: Final = 0.2
"""Part of the whole time that is kept for each later service; less where they are many."""

_SHORTEST_WAIT: Final = 0.05
"""Seconds between two looks at a service that refuses and says that it is about to be open."""

_MOST_THROTTLED: Final = 5
"""So often a call may be throttled by one service and ask it once more."""


@frozen(kw_only=True)
class Terms:
    """How one service of a ladder is asked.

    max_wait: Seconds that its start may be waited for. seconds: For all of it; None: no limit.
    only: There is no other service. last: No other comes after it.
    started: To be called as soon as it has started.
    """

    max_wait: float
    seconds: float | None
    only: bool
    last: bool
    started: Callable[[], None]


class Ask(Protocol):
    """Asks one service; raises a LeylineError where nothing was started."""

    def __call__(self, service: str, terms: Terms, /) -> Awaitable[ExecutionResult]: ...


def _line_of(failover: "Failover") -> Line:
    return Line(failover.clock)


@define(kw_only=True)
class Failover:
    """A ladder of services, and what became of each.

    services: In the order to be asked in. out: Those that are not asked, and why.
    seconds: For everything; None means no limit. longest_wait: Seconds to wait for services that
        have room again, where there is no deadline.
    insists: Whether a service that throttled a run is asked once more when it says that it may be.
    line: Where all calls wait for services that have no room. priority: Before or after others.
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
    insists: bool = False
    priority: Priority = Priority.NORMAL
    line: Line = field(default=Factory(_line_of, takes_self=True))
    _end: float = field(init=False)
    _next: deque[str] = field(init=False)
    _over: bool = field(default=False, init=False)
    _wait_until: float | None = field(default=None, init=False)  # None: nobody is waited for yet
    _lost: dict[str, ExecutionResult | LeylineError] = field(init=False)
    _room: dict[str, float] = field(factory=dict[str, float], init=False)  # as they said
    _opens: dict[str, float] = field(factory=dict[str, float], init=False)  # may be waited for
    _awaited: set[str] = field(factory=set[str], init=False)  # in vain, or without patience
    _throttled: dict[str, int] = field(factory=dict[str, int], init=False)
    _place: Place = field(init=False)
    _origin: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        seconds = math.inf if self.seconds is None else self.seconds
        self._end = self.clock.monotonic() + seconds
        self._next = deque(dict.fromkeys(self.services))
        self._lost = {}
        self._place = self.line.place(self.priority)
        for error in self.out:
            self._note(error.service, error)

    async def run(self, *, group: TaskGroup, accept: Accept | None) -> ExecutionResult:
        """The first answer that is accepted; raises AllServicesFailedError with all that was tried.

        A service that cannot start at once is passed over; where no other answers, the first that
        will have room in time is waited for. None is run twice, unless it was throttled and
        *insists* says so.
        """
        try:
            while True:
                result = await contest(self, group=group, accept=accept)
                if result is not None:
                    return result
                opening = None if self._over else await self._first_to_open()
                if opening is None:
                    raise AllServicesFailedError(tuple(self._lost.values()), self._retry_after())
                self._next.append(opening)
        finally:
            self.line.leave(self._place)

    def next(self, cause: Cause, /) -> Attempt | None:
        """See ``Contenders``."""
        if not self._next:
            return None
        service = self._next.popleft()
        if cause is Cause.FAILURE or self._origin not in {"", service}:
            self._tell(service)
        start = partial(
            self._start if self._wait_until is None else self._start_late,
            service,
            later=len(self._next) + self._hopes(besides=service),
            only=len(self._lost.keys() | {service, *self._next}) == 1,
        )
        return Attempt(service=service, start=start)

    def _hopes(self, *, besides: str) -> int:
        """How many that had no room may yet have their turn."""
        return sum(room < self._end for name, room in self._opens.items() if name != besides)

    def lost(self, attempt: Attempt, outcome: ExecutionResult | LeylineError, /) -> None:
        """See ``Contenders``."""
        self._origin = attempt.service
        self._over = not may_go_elsewhere(outcome)
        self._note(attempt.service, outcome)

    async def _start(
        self, service: str, *, later: int, only: bool, max_wait: float | None = None
    ) -> ExecutionResult:
        left = self._end - self.clock.monotonic()
        if max_wait is None:  # the only one is not passed over: it waits, and tries again, itself
            max_wait = self.longest_wait if only else AT_ONCE
        if left <= 0:
            raise RejectedError(service, "no time was left for it; allow a longer deadline")
        terms = Terms(
            max_wait=min(left, max_wait),
            seconds=None if math.isinf(left) else self._share(left, later=later),
            only=only,
            last=not later,
            started=partial(self.line.leave, self._place),
        )
        return await self.ask(service, terms)

    async def _start_late(self, service: str, *, later: int, only: bool) -> ExecutionResult:
        """Ask a service that had no room, when it has, or soon."""
        assert self._wait_until is not None
        now = self.clock.monotonic()
        # Who waits for a quota has a place in its queue; a breaker has none.
        if not isinstance(self._lost[service], QuotaExceededError):
            await self.clock.sleep(max(_SHORTEST_WAIT, self._opens[service] - now))
            now = self.clock.monotonic()
        left = max(AT_ONCE, min(self._wait_until - now, self._patience(service, now)))
        try:
            return await self._start(service, later=later, only=only, max_wait=left)
        except QuotaExceededError:
            if self.clock.monotonic() - now < left / 2:
                self._awaited.add(service)  # refused, although there was time to wait
            raise
        finally:
            self.line.leave(self._place)

    def _patience(self, service: str, now: float) -> float:
        """Seconds for which *service* is waited for, before it may be another's turn."""
        others = self._opens.keys() - {service}
        if service in self._room or not others <= self._room.keys():
            return PATIENCE if others else math.inf
        # It alone did not say when: only until another has room.
        return min((self._opens[other] for other in others), default=math.inf) - now

    def _note(self, service: str, outcome: ExecutionResult | LeylineError) -> None:
        self._lost.pop(service, None)  # a refusal, after which it was waited for
        self._lost[service] = outcome
        self._room.pop(service, None)
        self._opens.pop(service, None)
        room = room_at(outcome, self.clock)
        if room is not None:
            self._room[service] = room
        if isinstance(outcome, ExecutionResult):
            if self.insists and self._was_throttled(service, outcome):
                self._opens[service] = self.clock.monotonic() if room is None else room
        elif isinstance(outcome, RejectedError) and room is not None:
            self._opens[service] = room
        elif isinstance(outcome, QuotaExceededError) and service not in self._awaited:
            self._opens[service] = self.clock.monotonic()  # its runs may end at any moment

    def _was_throttled(self, service: str, result: ExecutionResult) -> bool:
        """Whether it was, and not yet too often."""
        if result.failure is None or not REMEDIES[result.failure.kind].wait:
            return False
        self._throttled[service] = self._throttled.get(service, 0) + 1
        return self._throttled[service] <= _MOST_THROTTLED

    async def _first_to_open(self) -> str | None:
        """The service that refused and has room again first, when it is about to; None: too late.

        Waits in line with all who wait for one of the same services.
        """
        if self._wait_until is None:
            self._wait_until = min(self._end, self.clock.monotonic() + self.longest_wait)
        if self.clock.monotonic() >= self._wait_until:
            return None
        return await self.line.turn(self._place, self._opens, until=self._wait_until)

    def _retry_after(self) -> float | None:
        """Seconds until the first of them has room again; None: none said when."""
        first = min(self._room.values(), default=None)
        return None if first is None else max(0.0, first - self.clock.monotonic())

    def _share(self, left: float, *, later: int) -> float:
        """The seconds that one service may take, of those that are left, with *later* after it."""
        assert self.seconds is not None
        return max(0.0, left - later * min(left / (later + 1), self.seconds * _KEPT_SHARE))

    def _tell(self, service: str) -> None:
        if not self.events:
            return
        self.events.emit(
            FailedOver(
                service=service,
                at=self.clock.wall(),
                call=self.call,
                origin=self._origin,
                reason=why(self._lost[self._origin]),
            )
        )
