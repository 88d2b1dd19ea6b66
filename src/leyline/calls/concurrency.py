"""How many runs of a service at once, as it bears them; and those who wait for a place."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from attrs import define, field

from leyline.model import Priority
from leyline.policies import ConcurrencyPolicy
from leyline.quota import Queue


@define(eq=False)
class Ticket:
    """The place of one run.

    overloaded: What the run said of the service: True: it was too much, False: it bore it. None:
        nothing, as of a run that was cancelled, or that failed for another reason.
    """

    round: int
    overloaded: bool | None = None
    held: bool = True


@define(eq=False)
class AdaptiveLimit:
    """The number of runs at once that a service bears, found by trying. Pure.

    Where a run was too much for the service, half of the most that were under way since the limit
    last changed; but once a round: runs that began before that say nothing of the number since.
    One more after as many successes as the limit, if it was reached in the meantime: what is not
    used cannot be known to be borne.

    Where nothing succeeded that began between two halvings, the service was down rather than
    crowded, and bears what it bore before: back up to there it is one more for each success.
    """

    policy: ConcurrencyPolicy
    limit: int = field(init=False)
    in_flight: int = field(default=0, init=False)
    _round: int = field(default=0, init=False)  # halvings so far
    _borne: int = field(default=0, init=False)  # successes since the limit last changed
    _peak: int = field(default=0, init=False)  # the most at once since then
    _alive: bool = field(default=True, init=False)  # whether any of this round succeeded
    _crowded: int = field(init=False)  # the limit when it was last halved while alive
    _fast_until: int = field(init=False)  # the limit up to which it grows by each success

    def __attrs_post_init__(self) -> None:
        policy = self.policy
        self.limit = min(max(policy.initial, policy.least), policy.most)
        self._crowded = self._fast_until = self.limit

    def try_acquire(self) -> Ticket | None:
        """A place, to be given back by ``release``; None if all are taken."""
        if self.in_flight >= self.limit:
            return None
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return Ticket(self._round)

    def release(self, ticket: Ticket) -> None:
        """Give *ticket* back, and learn from its ``overloaded``. A second time changes nothing."""
        if not ticket.held:
            return
        ticket.held = False
        if ticket.round == self._round:
            if ticket.overloaded:
                self._halve()
            elif ticket.overloaded is False:
                self._alive = True
                self._borne += 1
                if self._borne >= self.limit or self.limit < self._fast_until:
                    reached = self._peak >= self.limit
                    self._change(min(self.policy.most, self.limit + reached))
        self.in_flight -= 1

    def _halve(self) -> None:
        limit = max(self.policy.least, min(self.limit, self._peak) // 2)
        if self._alive:
            self._crowded, self._fast_until = self.limit, limit
        else:
            self._fast_until = self._crowded
        self._round += 1
        self._alive = False
        self._change(limit)

    def _change(self, limit: int) -> None:
        self.limit = limit
        self._borne = 0
        self._peak = self.in_flight


@define(eq=False)
class _Waiter:
    turn: anyio.Event = field(factory=anyio.Event)
    ticket: Ticket | None = None


@define(eq=False)
class Gate:
    """A queue in front of an ``AdaptiveLimit``, in the order of ``Queue``; in one event loop.

    A place that comes free is handed to the first who waits, who alone is woken; so nobody who
    comes later can take it. Places of its limit are taken and given back through the gate alone.
    """

    limit: AdaptiveLimit
    _waiters: Queue[_Waiter] = field(factory=Queue[_Waiter], init=False)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @asynccontextmanager
    async def enter(
        self, *, max_wait: float | None, priority: Priority = Priority.NORMAL
    ) -> AsyncGenerator[Ticket | None, None]:
        """Hold a place within the block; None if there was none in time.

        max_wait: Seconds; None: wait as long as it takes. At 0 or less nobody waits.
        Set ``overloaded`` of the ticket in the block to what the run said of the service.
        Cancellation: a place that was handed over in the same moment goes on to the next.
        """
        # Where somebody waits, no place is free: each is handed on as it comes free.
        ticket = self.limit.try_acquire() or await self._wait(max_wait, priority)
        if ticket is None:
            yield None
            return
        try:
            yield ticket
        finally:
            self._leave(ticket)

    async def _wait(self, max_wait: float | None, priority: Priority) -> Ticket | None:
        waiter = _Waiter()
        self._waiters.add(waiter, priority)
        try:
            if max_wait is None:
                await waiter.turn.wait()
            else:
                with anyio.move_on_after(max_wait):
                    await waiter.turn.wait()
        except BaseException:
            if waiter.ticket is not None:
                self._leave(waiter.ticket)
            raise
        finally:
            self._waiters.discard(waiter)
        return waiter.ticket  # also where it came in the very moment in which time was up

    def _leave(self, ticket: Ticket) -> None:
        self.limit.release(ticket)
        while (waiter := self._waiters.first) and (free := self.limit.try_acquire()):
            self._waiters.pop()
            waiter.ticket = free
            waiter.turn.set()
