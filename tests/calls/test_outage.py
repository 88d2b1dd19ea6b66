"""A service that is down for ten minutes under a thousand callers, and comes back."""

from collections.abc import Awaitable, Callable
from random import Random

import anyio
import pytest

from leyline.calls.job import Job
from leyline.errors import LeylineError
from leyline.events import BreakerChanged
from leyline.model import BreakerState, FailureKind
from leyline.policies import BreakerPolicy
from tests.calls.scripted import Outcome, Scripted, service
from tests.virtual import run_virtual

CALLERS = 1000
PAUSE = 20.0
"""Seconds on average between the end of a call and the next of the same caller."""

DOWN_AT, DOWN_FOR = 60.0, 600.0
TWO_WINDOWS = 2 * BreakerPolicy().window
LOOK = 30.0
"""Seconds over which the rate of the answers is looked at."""


class Siege:
    """Callers who ask again and again, whatever they hear, and what became of their calls."""

    def __init__(self, down: Callable[[], Awaitable[Outcome]], *, seconds: float) -> None:
        self.down = down
        self.seconds = seconds
        self.back_at = DOWN_AT + DOWN_FOR
        self.called = Scripted(tool=self.tool, config=service())
        self.asked: list[float] = []
        self.answered: list[float] = []
        self.failed: list[float] = []

    @property
    def over(self) -> float:
        return self.back_at + TWO_WINDOWS + LOOK

    async def tool(self, _: Job) -> Outcome:
        now = anyio.current_time()
        if now < DOWN_AT or now >= self.back_at:
            await anyio.sleep(self.seconds)
            return None
        return await self.down()

    async def caller(self, rng: Random) -> None:
        await anyio.sleep(rng.uniform(0.0, PAUSE))
        while anyio.current_time() < self.over:
            self.asked.append(anyio.current_time())
            outcome = await self.called.outcome()
            failed = isinstance(outcome, LeylineError) or not outcome.success
            (self.failed if failed else self.answered).append(anyio.current_time())
            await anyio.sleep(rng.uniform(0.5, 1.5) * PAUSE)

    async def until_the_worst_moment(self) -> None:
        """It comes back only just after one more probe has failed in vain."""
        self.back_at = float("inf")
        await anyio.sleep(DOWN_AT + DOWN_FOR)
        told = len(self.called.events)
        while not any(
            isinstance(event, BreakerChanged) and event.after is BreakerState.OPEN
            for event in self.called.events[told:]
        ):
            await anyio.sleep(0.1)
        self.back_at = anyio.current_time()

    def run(self) -> None:
        async def main() -> None:
            async with self.called, anyio.create_task_group() as group:
                group.start_soon(self.until_the_worst_moment)
                for seed in range(CALLERS):
                    group.start_soon(self.caller, Random(seed))

        run_virtual(main)


def between(times: list[float], start: float, end: float) -> int:
    return sum(start <= time < end for time in times)


async def refuses() -> Outcome:
    await anyio.sleep(0.2)
    return FailureKind.SERVER


async def is_overloaded() -> Outcome:
    await anyio.sleep(0.2)
    return FailureKind.OVERLOADED


async def hangs() -> Outcome:
    await anyio.sleep_forever()


@pytest.mark.parametrize(("down", "seconds"), [(refuses, 1.0), (is_overloaded, 3.0), (hangs, 1.0)])
def test_a_total_outage_costs_little_and_is_over_within_two_windows(
    down: Callable[[], Awaitable[Outcome]], seconds: float
):
    siege = Siege(down, seconds=seconds)
    siege.run()
    back_at, started = siege.back_at, siege.called.started
    asked = between(siege.asked, DOWN_AT, back_at)
    assert asked > 10_000
    assert between(started, DOWN_AT, back_at) <= 1.2 * asked + 3
    # far less, as the breaker is open: what was under way, and what was tried
    assert between(started, DOWN_AT + 120.0, back_at) < 60

    recovered = back_at + TWO_WINDOWS
    before = between(siege.answered, DOWN_AT - LOOK, DOWN_AT)
    after = between(siege.answered, recovered, recovered + LOOK)
    assert before > 1000
    assert after >= 0.9 * before
    assert between(siege.failed, recovered, recovered + LOOK) == 0


def test_without_a_breaker_the_budget_alone_bounds_what_an_outage_costs():
    siege = Siege(refuses, seconds=1.0)
    siege.called = Scripted(tool=siege.tool, config=service(breaker=None), told=False)

    async def main() -> None:
        async with siege.called, anyio.create_task_group() as group:
            for seed in range(CALLERS // 10):
                group.start_soon(siege.caller, Random(seed))

    run_virtual(main)
    # a try or its retry that began before the end is not cut off by it
    asked = between(siege.asked, DOWN_AT, siege.back_at)
    extra = between(siege.called.started, DOWN_AT, siege.back_at) - asked
    earned = between(siege.asked, DOWN_AT - 66.0, DOWN_AT) // 5
    assert 0.1 * asked < extra <= 0.2 * asked + 3 + earned
    assert between(siege.failed, siege.back_at + 20.0, siege.over) == 0
