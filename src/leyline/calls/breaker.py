"""When a service that fails is left alone, and how it comes back. Pure: takes the time."""

import math
from random import Random
from typing import Final

from attrs import Factory, define, field, frozen
from attrs.validators import gt

from leyline.model import BreakerState
from leyline.policies import BreakerPolicy

_SLICES: Final = 10
"""Of the window; its start is rounded up to the start of a slice."""

_JITTER: Final = 0.1

_TRYING: Final = "one call at a time may try whether it is back"

LOOK_AGAIN: Final = 1.0
"""Seconds after which those whom a probe keeps out may ask again; its answer can come any time."""


@frozen(kw_only=True)
class Change:
    """The breaker went from one state to another. reason: Why, for people."""

    before: BreakerState
    after: BreakerState
    reason: str


@frozen(kw_only=True, eq=False)
class Permit:
    """One call may go; what comes of it is reported with this, once.

    generation: Which spell of being open or closed it belongs to; of another, it has no say.
    probe: It is the one that tries whether the service is back.
    change: What letting it go changed, if anything.
    """

    generation: int
    probe: bool
    change: Change | None = None


@frozen(kw_only=True)
class Denied:
    """No call may go.

    until: When to ask again: once the open time is over; soon, while a probe is out. Infinite
        where the service is disabled. state, reason: Why.
    """

    until: float
    state: BreakerState
    reason: str


@frozen(kw_only=True)
class BreakerSnapshot:
    """A breaker as it stands at one moment.

    until: When to ask whether a call may go, as in ``Denied``; in the past or now where one may at
        once. reason: Why it came to this state; empty if it never left closed.
    consecutive: Failures in a row. failures, calls: Those in the window, and all that ended in
        it. None of these counts what was tried while it was not closed.
    """

    state: BreakerState
    until: float
    reason: str
    consecutive: int
    failures: int
    calls: int


@define(eq=False)
class Breaker:
    """Lets calls of one service go, or not, by what became of those before.

    Closed: all go. It opens with too many failures in a row, however far apart, or where too
    large a part of the window failed; both are judged at each failure.
    Open: none goes, for ``opening`` seconds, doubled with each probe that failed. That is
    forgotten only when it has been closed for ``cap`` seconds: one lucky probe does not undo it.
    Half open: one goes as a probe. Its success closes, its failure opens again; until either is
    known no other goes. Where it says nothing, or is not heard of for *lease* seconds, the next
    may try. One that answers after that still has its say, or a service that needs longer than
    the lease would never come back; the first word of any probe decides.
    Disabled: none goes until it is restored.

    Calls that were let go before it last opened or closed change nothing, whatever they report.

    lease: Seconds for which a probe keeps others from trying. Others are not told to wait that
        long: by then it has been given up. Raises ValueError unless over 0.
    Every ``now`` is in monotonic seconds.
    """

    policy: BreakerPolicy
    rng: Random = field(kw_only=True)
    lease: float = field(kw_only=True, validator=gt(0))
    _window: "_Window" = field(
        init=False, default=Factory(lambda self: _Window(self.policy.window), takes_self=True)
    )
    _consecutive: int = field(default=0, init=False)
    _state: BreakerState = field(default=BreakerState.CLOSED, init=False)  # after the last change
    _reason: str = field(default="", init=False)
    _generation: int = field(default=0, init=False)
    _until: float = field(default=-math.inf, init=False)  # from when on a call may go
    _probe: Permit | None = field(default=None, init=False)  # the latest
    _doublings: int = field(default=0, init=False)
    _closed_at: float = field(default=-math.inf, init=False)

    def allow(self, now: float) -> Permit | Denied:
        """Whether a call may go; if so, report what comes of it, whatever that is."""
        if now < self._until:
            return Denied(until=self._ask_at(now), state=self._state, reason=self._reason)
        if self._state is BreakerState.CLOSED:
            return Permit(generation=self._generation, probe=False)
        change = None
        if self._state is BreakerState.OPEN:
            change = self._turn(BreakerState.HALF_OPEN, _TRYING)
        self._until = now + self.lease
        self._probe = Permit(generation=self._generation, probe=True, change=change)
        return self._probe

    def succeeded(self, permit: Permit, now: float) -> Change | None:
        """The service answered."""
        if permit.generation != self._generation:
            return None
        if permit.probe:
            return self._close(now, "the call that tried whether it is back succeeded")
        self._consecutive = 0
        self._window.add(now, failed=False)
        return None

    def failed(self, permit: Permit, now: float) -> Change | None:
        """The service could not answer, and is to blame."""
        if permit.generation != self._generation:
            return None
        if permit.probe:
            self._doublings += 1
            return self._open("the call that tried whether it is back failed", now)
        self._consecutive += 1
        self._window.add(now, failed=True)
        reason = self._too_much(now)
        if not reason:
            return None
        if now - self._closed_at >= self.policy.cap:
            self._doublings = 0
        return self._open(reason, now)

    def dropped(self, permit: Permit, now: float) -> None:
        """The call says nothing of the service: it was cancelled, never ran, or was throttled.

        Changes nothing for a call that has reported already.
        """
        if permit is self._probe and permit.generation == self._generation:
            self._until = now

    def disable(self, reason: str) -> Change | None:
        """Let no call go any more, until it is restored."""
        if self._state is BreakerState.DISABLED:
            return None
        self._generation += 1
        self._until = math.inf
        return self._turn(BreakerState.DISABLED, reason)

    def restore(self, now: float) -> Change | None:
        """What disabled it is mended: all begins anew. Changes nothing in any other state."""
        if self._state is not BreakerState.DISABLED:
            return None
        self._doublings = 0
        return self._close(now, "what disabled it is mended")

    def state(self, now: float) -> BreakerState:
        """Half open from the end of the open time on, whether or not a call has come to try."""
        if self._state is BreakerState.OPEN and now >= self._until:
            return BreakerState.HALF_OPEN
        return self._state

    def snapshot(self, now: float) -> BreakerSnapshot:
        """What selection and explanations need to know."""
        failures, calls = self._window.counts(now)
        return BreakerSnapshot(
            state=self.state(now),
            until=self._ask_at(now),
            reason=self._reason,
            consecutive=self._consecutive,
            failures=failures,
            calls=calls,
        )

    def _ask_at(self, now: float) -> float:
        """When to ask again who may not go now."""
        if self._state is BreakerState.HALF_OPEN:
            return min(self._until, now + LOOK_AGAIN)
        return self._until

    def _too_much(self, now: float) -> str:
        """Why it is time to open, if it is."""
        policy = self.policy
        if self._consecutive >= policy.consecutive:
            return f"{self._consecutive} failures in a row"
        failures, calls = self._window.counts(now)
        if calls >= policy.volume and failures / calls >= policy.rate:
            return f"{failures} of {calls} calls in the last {policy.window:g} s failed"
        return ""

    def _open(self, reason: str, now: float) -> Change:
        length = min(self.policy.cap, self.policy.opening * 2.0 ** min(self._doublings, 1000))
        self._generation += 1
        self._until = now + length * self.rng.uniform(1.0 - _JITTER, 1.0 + _JITTER)
        return self._turn(BreakerState.OPEN, reason)

    def _close(self, now: float, reason: str) -> Change:
        self._generation += 1
        self._until = -math.inf
        self._closed_at = now
        self._consecutive = 0
        self._window = _Window(self.policy.window)
        return self._turn(BreakerState.CLOSED, reason)

    def _turn(self, after: BreakerState, reason: str) -> Change:
        change = Change(before=self._state, after=after, reason=reason)
        self._state, self._reason = after, reason
        return change


@define(eq=False)
class _Window:
    """How many calls ended in the last *seconds*, and how many of them in failure; in slices."""

    seconds: float
    _calls: list[int] = field(factory=lambda: [0] * _SLICES, init=False)
    _failures: list[int] = field(factory=lambda: [0] * _SLICES, init=False)
    _slice: int | None = field(default=None, init=False)  # the latest seen

    def add(self, now: float, *, failed: bool) -> None:
        """A call ended."""
        place = self._turn_to(now)
        self._calls[place] += 1
        self._failures[place] += failed

    def counts(self, now: float) -> tuple[int, int]:
        """Failures, and calls."""
        self._turn_to(now)
        return sum(self._failures), sum(self._calls)

    def _turn_to(self, now: float) -> int:
        """The place of the current slice; those that lie a window behind it are forgotten."""
        current = math.floor(now / (self.seconds / _SLICES))
        if self._slice is None:
            self._slice = current
        for passed in range(max(self._slice, current - _SLICES) + 1, current + 1):
            self._calls[passed % _SLICES] = self._failures[passed % _SLICES] = 0
        self._slice = max(self._slice, current)
        return self._slice % _SLICES
