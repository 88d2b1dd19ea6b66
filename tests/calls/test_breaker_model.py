"""The breaker against a plain list of everything that happened, whatever happens in what order."""

import math
from random import Random

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leyline.calls.breaker import LOOK_AGAIN, Breaker, Change, Denied, Permit
from leyline.model import BreakerState
from leyline.policies import BreakerPolicy

CLOSED, OPEN, HALF_OPEN, DISABLED = BreakerState
LEASE = 30.0


@define(eq=False)
class Trial:
    """A call that was let go, when, and whether it was dropped."""

    permit: Permit
    began: float
    dropped: bool = False


@define(eq=False)
class Spell:
    """A stretch of time in which it was closed, open (half open included) or disabled."""

    kind: BreakerState
    began: float
    until: float = -math.inf  # where open
    endings: list[tuple[float, bool]] = field(factory=list)  # when, and whether in failure
    trials: list[Trial] = field(factory=list)


@define(eq=False)
class Model:
    """All spells, the latest last; every question is answered by going through them."""

    policy: BreakerPolicy
    spells: list[Spell] = field(factory=lambda: [Spell(CLOSED, -math.inf)])

    def state(self, now: float) -> BreakerState:
        spell = self.spells[-1]
        return HALF_OPEN if spell.kind is OPEN and now >= spell.until else spell.kind

    def may_go(self, now: float) -> bool:
        state = self.state(now)
        return state is CLOSED or (state is HALF_OPEN and now >= self.tried_until())

    def tried_until(self) -> float:
        """When the last lease of a probe is over."""
        trials = self.spells[-1].trials
        return max((t.began + LEASE for t in trials if not t.dropped), default=-math.inf)

    def opens_at(self) -> float:
        """From when on a call may go that may not now, if nothing else happens."""
        spell = self.spells[-1]
        return math.inf if spell.kind is DISABLED else max(spell.until, self.tried_until())

    def counts(self, now: float) -> tuple[int, int, int]:
        """Failures in a row, failures in the window, calls in the window."""
        closed = next(spell for spell in reversed(self.spells) if spell.kind is CLOSED)
        failures = [failed for _, failed in closed.endings]
        row = next((n for n, failed in enumerate(reversed(failures)) if not failed), len(failures))
        width = self.policy.window / 10
        first = math.floor(now / width) - 9
        recent = [failed for at, failed in closed.endings if math.floor(at / width) >= first]
        return row, sum(recent), len(recent)

    def length(self) -> float:
        """How long the latest spell, an open one, ought to be, but for the jitter."""
        failed_probes = 0
        for after, before in zip(self.spells[::-1], self.spells[-2::-1], strict=False):
            if before.kind is OPEN and after.kind is OPEN:
                failed_probes += 1
                continue
            long_closed = before.kind is CLOSED and after.began - before.began >= self.policy.cap
            if long_closed or before.kind is DISABLED:
                break
        return min(self.policy.cap, self.policy.opening * 2**failed_probes)

    def ended(self, spell: Spell, now: float, *, failed: bool) -> BreakerState | None:
        """A call of *spell* ended; returns the state that it brings about, if another."""
        if spell is not self.spells[-1] or spell.kind is DISABLED:
            return None
        if spell.kind is OPEN:
            return OPEN if failed else CLOSED
        spell.endings.append((now, failed))
        row, failures, calls = self.counts(now)
        policy = self.policy
        too_many = calls >= policy.volume and failures / calls >= policy.rate
        return OPEN if failed and (row >= policy.consecutive or too_many) else None


policies = st.builds(
    BreakerPolicy,
    consecutive=st.integers(1, 6),
    rate=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    volume=st.integers(1, 8),
    window=st.sampled_from([20.0, 60.0]),
    opening=st.sampled_from([5.0, 10.0, 60.0]),
    cap=st.sampled_from([60.0, 300.0]),
)
indices = st.integers(0, 999)
pauses = st.sampled_from([0.125, 1.0, 5.875, 6.0, 29.875, 30.0, 60.0, 299.0, 3600.0])


class AgainstTheModel(RuleBasedStateMachine):
    """Calls that begin and end at any time, in any order."""

    @initialize(policy=policies, seed=st.integers(0, 999))
    def begin(self, policy: BreakerPolicy, seed: int) -> None:
        self.now = 0.0
        self.model = Model(policy)
        self.breaker = Breaker(policy, rng=Random(seed), lease=LEASE)
        self.pending: list[tuple[Spell, Trial]] = []
        self.over: list[Trial] = []
        self.told = [CLOSED]

    def heard(self, change: Change) -> None:
        assert change.before is self.told[-1], "each change begins where the last one ended"
        assert change.after is not change.before
        assert change.reason
        self.told.append(change.after)

    def ask_once(self) -> bool:
        expected = self.model.may_go(self.now)
        answer = self.breaker.allow(self.now)
        assert isinstance(answer, Permit) is expected
        spell = self.model.spells[-1]
        if isinstance(answer, Denied):
            assert answer.state is self.model.state(self.now)
            opens_at = self.model.opens_at()
            soon = self.now + LOOK_AGAIN if answer.state is HALF_OPEN else math.inf
            assert answer.until == min(opens_at, soon) > self.now
            assert not self.model.may_go(math.nextafter(opens_at, 0.0))
            assert math.isinf(opens_at) or self.model.may_go(opens_at)
            return False
        assert answer.probe is (spell.kind is OPEN)
        first_probe = answer.probe and not spell.trials
        assert (answer.change is not None) is first_probe
        if answer.change is not None:
            self.heard(answer.change)
        trial = Trial(answer, self.now)
        spell.trials.append(trial)
        self.pending.append((spell, trial))
        return True

    @rule(seconds=pauses)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.now < self.model.opens_at() < math.inf)
    @rule(early=st.booleans())
    def wait_until_somebody_may_go(self, early: bool) -> None:
        until = self.model.opens_at()
        self.now = math.nextafter(until, 0.0) if early else until

    @rule(callers=st.sampled_from([1, 2, 20]))
    def ask(self, callers: int) -> None:
        went = [self.ask_once() for _ in range(callers)]
        assert self.model.spells[-1].kind is CLOSED or sum(went) <= 1

    @precondition(lambda self: self.pending)
    @rule(index=indices, failed=st.booleans())
    def finish(self, index: int, failed: bool) -> None:
        spell, trial = self.pending.pop(index % len(self.pending))
        self.over.append(trial)
        after = self.model.ended(spell, self.now, failed=failed)
        report = self.breaker.failed if failed else self.breaker.succeeded
        change = report(trial.permit, self.now)
        assert (change.after if change else None) is after
        if change is None:
            return
        self.heard(change)
        self.model.spells.append(Spell(change.after, self.now))
        if change.after is OPEN:
            opened = self.model.spells[-1]
            opened.until = self.breaker.snapshot(self.now).until
            length = self.model.length()
            assert 0.899 * length <= opened.until - self.now <= 1.101 * length

    @rule(calls=st.integers(1, 8), failed=st.booleans())
    def calls_that_end_alike(self, calls: int, failed: bool) -> None:
        for _ in range(calls):
            if self.ask_once():
                self.finish(len(self.pending) - 1, failed)

    @precondition(lambda self: self.pending)
    @rule(index=indices)
    def drop(self, index: int) -> None:
        _, trial = self.pending.pop(index % len(self.pending))
        self.over.append(trial)
        trial.dropped = True
        self.breaker.dropped(trial.permit, self.now)

    @precondition(lambda self: self.over)
    @rule(index=indices)
    def drop_what_is_over(self, index: int) -> None:
        self.breaker.dropped(self.over[index % len(self.over)].permit, self.now)

    @precondition(lambda self: len(self.told) > 3)
    @rule()
    def disable(self) -> None:
        change = self.breaker.disable("no such command")
        assert (change is None) is (self.model.spells[-1].kind is DISABLED)
        if change is not None:
            self.heard(change)
            self.model.spells.append(Spell(DISABLED, self.now))

    @rule()
    def restore(self) -> None:
        change = self.breaker.restore(self.now)
        assert (change is not None) is (self.model.spells[-1].kind is DISABLED)
        if change is not None:
            self.heard(change)
            self.model.spells.append(Spell(CLOSED, self.now))

    @invariant()
    def it_looks_as_it_should(self) -> None:
        snapshot = self.breaker.snapshot(self.now)
        state = self.model.state(self.now)
        assert self.breaker.state(self.now) is snapshot.state is state
        assert (snapshot.until <= self.now) is self.model.may_go(self.now)
        counts = (snapshot.consecutive, snapshot.failures, snapshot.calls)
        assert counts == self.model.counts(self.now)


TestAgainstTheModel = AgainstTheModel.TestCase
TestAgainstTheModel.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
