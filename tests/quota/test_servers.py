"""Servers as they count: six hours of saturated use of each, and not one refusal.

Which profile (``quota_limits``) fits which server of 60 requests a minute:

- a sliding window, a fixed minute, and a token bucket that holds a minute's worth: ``rpm: 60``;
- a bucket that holds one and gets another each second: beside it ``windows: [{requests: 1, per:
  1}]``, as sixty at once would lose it all but the first.

Either with a ``guard`` of so many seconds as starts may be late on their way.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from random import Random
from typing import Any, Protocol

import pytest
from attrs import define, field

from leyline.limits import Weight
from leyline.quota.account import Account, Booked
from leyline.quota_limits import read_quota_limits
from tests.quota.shadow import EPOCH, EPS

AMOUNT, PER, GUARD = 60, 60.0, 2.0
HOURS = 6
EVENLY: Mapping[str, Any] = {"rpm": AMOUNT}
ONE_BY_ONE: Mapping[str, Any] = {"rpm": AMOUNT, "windows": [{"requests": 1, "per": 1}]}


class Server(Protocol):
    def takes(self, at: float) -> bool: ...


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
    """Holds so many *tokens* when full, and gets *AMOUNT* in a minute."""

    tokens: int
    level: float = field(init=False)
    last: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.level = float(self.tokens)

    def takes(self, at: float) -> bool:
        self.level = min(self.tokens, self.level + (at - self.last) * AMOUNT / PER)
        self.last = at
        if self.level < 1 - EPS:
            return False
        self.level -= 1
        return True


SERVERS: dict[str, Callable[[], Server]] = {
    "sliding window": SlidingWindow,
    "token bucket": lambda: TokenBucket(AMOUNT),
    "one a second": lambda: TokenBucket(1),
    **{f"minutes at {s}": lambda s=s: FixedMinute(s) for s in (0.0, 0.3, 17.0, 30.0, 59.7)},
}
OF_A_MINUTE = [name for name in SERVERS if name != "one a second"]


def arrivals(
    profile: Mapping[str, Any], late: Iterator[float], load: Callable[[], float]
) -> list[float]:
    """When the requests of six hours reach the server, each some time after its start."""
    given, problems = read_quota_limits(profile)
    assert not problems
    account, now = Account(), 0.0
    found: list[float] = []
    while now < HOURS * 3600:
        outcome = account.book("b", given.limits, Weight(), now=now, wall=EPOCH + now)
        assert isinstance(outcome, Booked)
        now += outcome.delay
        found.append(now + next(late))
        account.settle("b", given.limits, Weight())
        now += load()
    return sorted(found)


def refusals(server: str, moments: list[float]) -> int:
    takes = SERVERS[server]().takes
    return sum(not takes(at) for at in moments)


def used(moments: list[float]) -> float:
    """The part of what the limit of a minute allows."""
    return len(moments) / (HOURS * 3600 * AMOUNT / PER)


def at_random(random: Random, guard: float = GUARD) -> Iterator[float]:
    while True:
        yield random.uniform(0.0, guard)


def bunched(_: Random) -> Iterator[float]:
    """The worst there is: those of one minute late, those of the next at once."""
    return cycle([GUARD] * AMOUNT + [0.0] * AMOUNT)


@pytest.mark.parametrize("late", [at_random, bunched])
@pytest.mark.parametrize("server", OF_A_MINUTE)
def test_no_server_refuses_what_arrives_within_the_guard(
    server: str, late: Callable[[Random], Iterator[float]]
):
    moments = arrivals({**EVENLY, "guard": GUARD}, late(Random(1)), lambda: 0.0)
    assert refusals(server, moments) == 0
    assert used(moments) > 0.95


@pytest.mark.parametrize("server", OF_A_MINUTE)
def test_no_server_refuses_what_comes_in_bursts_and_pauses(server: str):
    random = Random(2)
    moments = arrivals(
        {**EVENLY, "guard": GUARD},
        at_random(random),
        lambda: random.choice([0.0] * 99 + [random.uniform(0, 90)]),
    )
    assert refusals(server, moments) == 0


@pytest.mark.parametrize("server", OF_A_MINUTE)
def test_no_server_refuses_what_arrives_evenly_without_a_guard(server: str):
    moments = arrivals(EVENLY, cycle([0.7]), lambda: 0.0)
    assert refusals(server, moments) == 0
    assert used(moments) >= 0.985


def test_without_a_guard_a_server_refuses_what_arrives_bunched():
    moments = arrivals(EVENLY, at_random(Random(1)), lambda: 0.0)
    assert refusals("sliding window", moments) > 0


@pytest.mark.parametrize("server", SERVERS)
def test_one_by_one_is_refused_by_none(server: str):
    moments = arrivals(ONE_BY_ONE, cycle([0.7]), lambda: 0.0)
    assert refusals(server, moments) == 0
    assert used(moments) > 0.98


@pytest.mark.parametrize("late", ["random", "bunched"])
def test_a_server_that_takes_one_a_second_refuses_none_within_the_guard(late: str):
    guard, random = 0.2, Random(3)
    lateness = at_random(random, guard) if late == "random" else cycle([guard, 0.0])
    moments = arrivals({**ONE_BY_ONE, "guard": guard}, lateness, lambda: 0.0)
    assert refusals("one a second", moments) == 0
    assert used(moments) > 0.97 / (1 + guard)  # what may be late by so much must lie so far apart


def test_a_server_that_takes_one_a_second_refuses_none_after_pauses():
    random = Random(4)
    moments = arrivals(
        {**ONE_BY_ONE, "guard": 0.2},
        at_random(random, 0.2),
        lambda: random.choice([0.0] * 9 + [random.uniform(0, 90)]),
    )
    assert refusals("one a second", moments) == 0


def test_a_server_that_takes_one_a_second_refuses_a_minutes_worth_at_once():
    moments = arrivals(EVENLY, cycle([0.0]), lambda: 0.0)
    assert refusals("one a second", moments) > len(moments) / 2
