"""Several attempts at one answer, of which the first good one counts: cascade, race and hedge.

They differ in how long one attempt is left alone before the next one begins: until it has failed,
not at all, or for some seconds. Attempts run in a task group that outlives the contest, so that
nobody waits for the losers, and nothing that goes wrong while they end can spoil the answer.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field, frozen

from leyline.arguments import refuse_async
from leyline.clock import Clock
from leyline.errors import LeylineError, RegistryClosedError, RejectedError
from leyline.model import REMEDIES, ExecutionResult

Accept = Callable[[ExecutionResult], bool]
"""Whether a successful result is good enough."""

AT_ONCE: Final = 0.02
"""Seconds in which what has to start at once has started: a look into the store takes some."""


def check_accept(accept: Accept | None) -> None:
    """Raise TypeError for one that is async: whatever it promised to say would count as true."""
    if accept is not None:
        instead = "to wait for a judgement, take the result, and call again if it is no good"
        refuse_async(accept, "accept", "result", instead)


class Cause(Enum):
    """Why another attempt begins: as the first, as the others are slow, as another has failed."""

    FIRST = auto()
    SLOW = auto()
    FAILURE = auto()


@frozen(kw_only=True)
class Attempt:
    """One attempt. patience: Seconds until the next may begin beside it; infinite for never."""

    service: str
    start: Callable[[], Awaitable[ExecutionResult]]
    patience: float = math.inf


class Contenders(Protocol):
    """Decides what is tried next, and is told what came of it."""

    def next(self, cause: Cause, /) -> Attempt | None:
        """The next attempt; None: there is none, for this cause."""
        ...

    def lost(self, attempt: Attempt, outcome: "ExecutionResult | LeylineError", /) -> None:
        """*attempt* gave no answer, or none that was accepted."""
        ...


@frozen
class _Arrival:
    attempt: Attempt
    outcome: ExecutionResult | BaseException


@define
class _Contest:
    contenders: Contenders
    group: TaskGroup
    accept: Accept | None
    scopes: list[anyio.CancelScope] = field(factory=list[anyio.CancelScope])
    running: int = 0
    due: float = math.inf  # when another may begin beside those that run

    def begin(self, cause: Cause, send: MemoryObjectSendStream[_Arrival]) -> bool:
        attempt = self.contenders.next(cause)
        self.due = math.inf
        if attempt is None:
            return False
        scope = anyio.CancelScope()
        try:
            self.group.start_soon(_run, attempt, scope, send)
        except RuntimeError:  # the group has ended
            raise RegistryClosedError from None
        self.scopes.append(scope)
        self.running += 1
        self.due = anyio.current_time() + attempt.patience
        return True

    async def run(self) -> ExecutionResult | None:
        await checkpoint()  # whoever is cancelled already starts nothing
        send, receive = anyio.create_memory_object_stream[_Arrival](math.inf)
        try:
            while self.begin(Cause.FIRST, send) and self.due <= anyio.current_time():
                pass
            while self.running:
                arrival = await self.arrival(receive)
                if arrival is None:
                    self.begin(Cause.SLOW, send)
                    continue
                self.running -= 1
                if (winner := self.judge(arrival)) is not None:
                    return winner
                refused = isinstance(arrival.outcome, LeylineError)
                if may_go_elsewhere(arrival.outcome) and not (self.running and refused):
                    self.begin(Cause.FAILURE, send)
            return None
        finally:
            if self.running:  # those that have told what they came to are over by themselves
                for scope in self.scopes:
                    scope.cancel()
            send.close()
            receive.close()

    async def arrival(self, receive: MemoryObjectReceiveStream[_Arrival]) -> _Arrival | None:
        """What came of an attempt; None: it is time for another beside those that run."""
        with anyio.CancelScope(deadline=self.due):
            return await receive.receive()
        with suppress(anyio.WouldBlock):  # came in the same moment
            return receive.receive_nowait()
        return None

    def judge(self, arrival: _Arrival) -> ExecutionResult | None:
        outcome = arrival.outcome
        if isinstance(outcome, ExecutionResult):
            if outcome.success and (self.accept is None or self.accept(outcome)):
                return outcome
        elif not isinstance(outcome, LeylineError) or isinstance(outcome, RegistryClosedError):
            raise outcome
        self.contenders.lost(arrival.attempt, outcome)
        return None


async def contest(
    contenders: Contenders, *, group: TaskGroup, accept: Accept | None = None
) -> ExecutionResult | None:
    """The first result that succeeded and is accepted; None when all have lost.

    group: Where the attempts run; it has to outlive them.
    Whoever has not answered by then is cancelled, and nobody waits for its end; the same when the
    caller is cancelled, and when *accept* raises.
    Raises RegistryClosedError if the group ends meanwhile.
    """
    return await _Contest(contenders, group, accept).run()


def may_go_elsewhere(outcome: ExecutionResult | BaseException) -> bool:
    """Whether another service may answer where this one did not."""
    if not isinstance(outcome, ExecutionResult) or outcome.failure is None:
        return True
    return REMEDIES[outcome.failure.kind].elsewhere


def room_at(outcome: ExecutionResult | LeylineError, clock: Clock) -> float | None:
    """When the service that has just answered so has room again, in monotonic seconds.

    None: it did not say.
    """
    now, seconds = clock.monotonic(), None
    if isinstance(outcome, RejectedError):
        seconds = outcome.retry_after
    elif isinstance(outcome, ExecutionResult) and outcome.failure is not None:
        seconds = outcome.failure.retry_after
        if outcome.failure.until is not None:
            seconds = max(0.0, outcome.failure.until - clock.wall())
    return None if seconds is None else now + seconds


async def _run(
    attempt: Attempt, scope: anyio.CancelScope, send: MemoryObjectSendStream[_Arrival]
) -> None:
    tell = partial(_tell, attempt, send)
    with scope:
        try:
            await checkpoint_if_cancelled()  # over before it began
            tell(await attempt.start())
        except Exception as error:
            tell(error)
        except BaseException:
            tell(RegistryClosedError())  # cancelled; if by the contest itself, nobody listens
            raise


def _tell(
    attempt: Attempt,
    send: MemoryObjectSendStream[_Arrival],
    outcome: ExecutionResult | BaseException,
) -> None:
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        send.send_nowait(_Arrival(attempt, outcome))
