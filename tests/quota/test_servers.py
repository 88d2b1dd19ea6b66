"""Servers as they count: six hours of saturated use of each, and not one refusal."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle
from random import Random

import pytest
from attrs import define, field

from leyline.limits import Weight, named_limit
from leyline.quota.account import Account, Booked
from tests.quota.shadow import EPOCH, EPS

AMOUNT, PER, GUARD = 60, 60.0, 2.0
HOURS = 6


@define
class SlidingWindow:
    """Takes a request if fewer than the amount came in the last minute."""

    taken: deque[float] = field(factory=deque[float])

    def takes(self, at: float) -> bool:
        while self.taken and self.taken[0] <= at - PER:
            self.taken.popleft()
        if len(self.taken) >= AMOUNT:
            return False
        self.taken.append(at)
        return True


@define
class FixedMinute:
    """Counts anew from every full minute on. phase: Seconds by which its minutes are late."""

    phase: float
    minute: float = -1.0
    taken: int = 0

    def takes(self, at: float) -> bool:
        minute = (at - self.phase) // PER
        if minute != self.minute:
            self.minute, self.taken = minute, 0
        self.taken += 1
        return self.taken <= AMOUNT


@define
class TokenBucket:
    """Holds the amount when full, and fills in a minute."""

    level: float = float(AMOUNT)
    last: float = 0.0

    def takes(self, at: float) -> bool:
        self.level = min(AMOUNT, self.level + (at - self.last) * AMOUNT / PER)
        self.last = at
        if self.level < 1 - EPS:
            return False
        self.level -= 1
        return True


SERVERS: dict[str, Callable[[], SlidingWindow | FixedMinute | TokenBucket]] = {
    "sliding window": SlidingWindow,
    "token bucket": TokenBucket,
    **{f"minutes at {s}": lambda s=s: FixedMinute(s) for s in (0.0, 0.3, 17.0, 30.0, 59.7)},
}


def arrivals(guard: float, late: Iterator[float], load: Callable[[], float]) -> list[float]:
    """When the requests of six hours reach the server, each some time after its start."""
    account, limit, now = Account(), named_limit("rpm", AMOUNT, guard=guard), 0.0
    found: list[float] = []
    while now < HOURS * 3600:
        outcome = account.book("b", [limit], Weight(), now=now, wall=EPOCH + now)
        assert isinstance(outcome, Booked)
        now += outcome.delay
        found.append(now + next(late))
        account.settle("b", [limit], Weight())
        now += load()
    return sorted(found)


def refusals(server: str, moments: list[float]) -> int:
    takes = SERVERS[server]().takes
    return sum(not takes(at) for at in moments)


def at_random(random: Random) -> Iterator[float]:
    while True:
        yield random.uniform(0.0, GUARD)


def bunched(_: Random) -> Iterator[float]:
    """The worst there is: those of one minute late, those of the next at once."""
    return cycle([GUARD] * AMOUNT + [0.0] * AMOUNT)


@pytest.mark.parametrize("late", [at_random, bunched])
@pytest.mark.parametrize("server", SERVERS)
def test_no_server_refuses_what_arrives_within_the_guard(
    server: str, late: Callable[[Random], Iterator[float]]
):
    moments = arrivals(GUARD, late(Random(1)), lambda: 0.0)
    assert refusals(server, moments) == 0
    assert len(moments) > 0.95 * HOURS * 3600 * AMOUNT / PER


@pytest.mark.parametrize("server", SERVERS)
def test_no_server_refuses_what_comes_in_bursts_and_pauses(server: str):
    random = Random(2)
    moments = arrivals(
        GUARD, at_random(random), lambda: random.choice([0.0] * 99 + [random.uniform(0, 90)])
    )
    assert refusals(server, moments) == 0


@pytest.mark.parametrize("server", SERVERS)
def test_no_server_refuses_what_arrives_evenly_without_a_guard(server: str):
    moments = arrivals(0.0, cycle([0.7]), lambda: 0.0)
    assert refusals(server, moments) == 0
    assert len(moments) >= 0.985 * HOURS * 3600 * AMOUNT / PER


def test_without_a_guard_a_server_refuses_what_arrives_bunched():
    moments = arrivals(0.0, at_random(Random(1)), lambda: 0.0)
    assert refusals("sliding window", moments) > 0
