"""An account beside the plainest model of it: a list of starts, each with what it weighs."""

import math
from collections.abc import Sequence
from itertools import count

from attrs import define, field

from leyline.limits import Limit, Weight
from leyline.quota.account import Account, Booked, Refused
from leyline.quota.booking import LEASE
from leyline.quota.windows import slack

EPOCH = 1_800_000_000.0
EPS = 1e-6


@define
class Start:
    """at: When it starts, or has started. day: Unix time of its start. booked: When it was booked.

    weight: What still counts: what was reserved, or what was used where that is less. put_off: It
    lost its place, as the service was closed, or as nobody had asked for it for long; seen: when
    somebody did. gone: Since when a limit may have forgotten it.
    """

    limits: tuple[Limit, ...]
    reserved: Weight
    booked: float
    at: float = math.inf
    weight: Weight = field(default=Weight())
    started: bool = False
    put_off: bool = False
    seen: float = math.nan
    wall: float = math.inf
    gone: dict[str, float] = field(factory=dict[str, float])

    def limit(self, name: str) -> Limit | None:
        return next((limit for limit in self.limits if limit.name == name), None)


@define
class Shadow:
    """Does the same to both, and finds out where the account broke a promise."""

    account: Account = field(factory=Account)
    now: float = 1000.0
    wall_ahead: float = EPOCH
    starts: dict[str, Start] = field(factory=dict[str, Start])
    settled: list[Start] = field(factory=list[Start])
    refused: int = 0
    _ids: "count[int]" = field(factory=count)

    @property
    def wall(self) -> float:
        return self.now + self.wall_ahead

    @property
    def held(self) -> list[str]:
        return [booking for booking, start in self.starts.items() if not start.started]

    @property
    def running(self) -> list[str]:
        return [booking for booking, start in self.starts.items() if start.started]

    def book(
        self, limits: Sequence[Limit], weight: Weight, max_delay: float = math.inf
    ) -> str | None:
        booking, before = f"b{next(self._ids)}", self.written(limits, weight)
        outcome = self.account.book(
            booking, limits, weight, now=self.now, wall=self.wall, max_delay=max_delay
        )
        self._find_given_up()
        if isinstance(outcome, Refused):
            self.refused += 1
            never = any(weight.of(limit.measure) > limit.amount for limit in limits)
            assert math.isinf(outcome.delay) == never
            assert outcome.delay > max_delay or never
            assert self.written(limits, weight) == before, "a refusal wrote something"
            return None
        assert 0 <= outcome.delay <= max_delay
        self._booked(booking, Start(tuple(limits), weight, self.now), outcome)
        return booking

    def confirm(self, booking: str) -> float:
        """Seconds that it still has to wait; 0: it starts now."""
        start = self.starts[booking]
        start.seen = self.now
        outcome = self.account.confirm(
            booking, start.limits, start.reserved, now=self.now, wall=self.wall
        )
        self._find_given_up()
        late = slack(min(limit.per for limit in start.limits))
        moment = self.now + outcome.delay
        if moment < start.at - EPS and not start.put_off:
            self._advanced(start, outcome)
        elif outcome.delay == 0 and moment > start.at + late and not start.put_off:
            self._late(start)
        elif start.put_off or not start.at - EPS <= moment <= start.at + late:
            del self.starts[booking]  # it is booked again, behind all the others
            self._booked(booking, Start(start.limits, start.reserved, self.now), outcome)
        elif outcome.delay == 0:
            self._begin(start)
        return outcome.delay

    def settle(self, booking: str, weight: Weight) -> None:
        start = self.starts.pop(booking)
        assert self.account.settle(booking, start.limits, weight)
        assert not self.account.settle(booking, start.limits, weight), "settled twice"
        start.weight = _smaller(start.reserved, weight)
        self.settled.append(start)

    def refund(self, booking: str) -> None:
        given_up = booking not in self.account.bookings
        assert not given_up or self.starts[booking].put_off
        del self.starts[booking]
        assert self.account.refund(booking) is not given_up
        assert not self.account.refund(booking)

    def close(self, seconds: float) -> None:
        self.account.close(self.wall + seconds, "words", now=self.now, wall=self.wall)
        for start in self.starts.values():
            start.put_off |= not start.started and start.at > self.now

    def shift(self, by: float) -> None:
        """As after a reboot: another clock, and the time that people mean goes on."""
        self.account.shift(by)
        self.now += by
        self.wall_ahead -= by
        for start in [*self.starts.values(), *self.settled]:
            start.at += by
            start.booked += by
            start.seen += by
            start.gone = {name: moment + by for name, moment in start.gone.items()}

    def reload(self) -> None:
        again = Account.load(self.account.dump())
        assert again == self.account
        self.account = again

    def written(self, limits: Sequence[Limit], weight: Weight) -> str:
        """What is written down, but for what may be forgotten."""
        again = Account.load(self.account.dump())
        again.book("probe", limits, weight, now=self.now, wall=self.wall, max_delay=-1.0)
        return again.dump()

    def check(self) -> None:
        """No window that ends with any start holds more than the limit, and no day does."""
        everything = [*self.starts.values(), *self.settled]
        for start in everything:
            for limit in start.limits:
                if limit.reset is None:
                    self._check_window(start, limit, everything)
                elif start.started:
                    self._check_day(start, limit, everything)

    def _booked(self, booking: str, start: Start, outcome: Booked) -> None:
        start.at, start.weight = self.now + outcome.delay, start.reserved
        start.seen = self.now
        everything = [*self.starts.values(), *self.settled]
        for other in self.starts.values():
            if not other.started and not other.put_off:
                assert start.at >= other.at - EPS, "overtook one that was booked earlier"
        self._forget(start.limits)
        for limit in start.limits:
            if limit.reset is None:
                self._check_window(start, limit, [start, *everything])
        self.starts[booking] = start
        if outcome.delay == 0:
            self._begin(start)

    def _find_given_up(self) -> None:
        """Those that the account holds no more; rightly, if nobody asked for them for long."""
        for booking in self.held:
            start = self.starts[booking]
            if booking not in self.account.bookings and not math.isinf(start.at):
                assert start.at > self.now > start.seen + LEASE, "gave up one that waits"
                start.put_off, start.at, start.weight = True, math.inf, Weight(requests=0)

    def _advanced(self, start: Start, outcome: Booked) -> None:
        """It starts earlier than was booked; nobody loses by it."""
        moment = self.now + outcome.delay
        for other in self.starts.values():
            if not other.started and not other.put_off and other.at < start.at - EPS:
                assert moment >= other.at - EPS, "overtook one that was to start earlier"
        start.at, start.booked = moment, self.now
        for limit in start.limits:
            if limit.reset is None:
                self._check_window(start, limit, [*self.starts.values(), *self.settled])
        if outcome.delay == 0:
            self._begin(start)

    def _late(self, start: Start) -> None:
        """It starts later than was booked, before those booked for later; nobody loses by it."""
        self._forget(start.limits)
        start.booked = self.now
        self._begin(start)
        everything = [*self.starts.values(), *self.settled]
        for other in everything:
            for limit in other.limits:
                if other.at >= self.now and limit.reset is None:
                    self._check_window(other, limit, everything)

    def _forget(self, limits: Sequence[Limit]) -> None:
        for other in [*self.starts.values(), *self.settled]:
            for limit in limits:
                if other.at + limit.per + limit.guard <= self.now:
                    other.gone.setdefault(limit.name, self.now)

    def _begin(self, start: Start) -> None:
        start.at, start.wall, start.started = self.now, self.wall, True

    @staticmethod
    def _check_window(start: Start, limit: Limit, everything: list[Start]) -> None:
        length = limit.per + limit.guard - EPS
        used = amount = 0
        for other in everything:
            theirs = other.limit(limit.name)
            known = theirs and not other.gone.get(limit.name, math.inf) <= start.booked
            if theirs and known and start.at - length < other.at <= start.at:
                used += other.weight.of(limit.measure)
                amount = max(amount, theirs.amount)
        assert used <= amount, f"{limit.name}: {used} of {amount} in a window"

    @staticmethod
    def _check_day(start: Start, limit: Limit, everything: list[Start]) -> None:
        assert limit.reset is not None
        used = amount = 0
        for other in everything:
            theirs = other.limit(limit.name)
            if (
                theirs
                and other.started
                and limit.reset.day(other.wall) == limit.reset.day(start.wall)
            ):
                used += other.weight.of(limit.measure)
                amount = max(amount, theirs.amount)
        assert used <= amount, f"{limit.name}: {used} of {amount} on a day"


def _smaller(one: Weight, other: Weight) -> Weight:
    return Weight(
        requests=min(one.requests, other.requests),
        input_tokens=min(one.input_tokens, other.input_tokens),
        output_tokens=min(one.output_tokens, other.output_tokens),
    )
