"""The same prompt to several services, or twice to one, behind the layers of each."""

import math
from collections.abc import Callable, Iterator
from random import Random

import anyio
import pytest

from leyline.calls.job import Job
from leyline.errors import AllServicesFailedError, QuotaExceededError, ServiceNotFoundError
from leyline.events import FailedOver, HedgeStarted
from leyline.model import ExecutionResult, FailureKind
from leyline.policies import BreakerPolicy, BudgetPolicy
from tests.calls.scripted import Outcome, Tool, script
from tests.routing.fleet import Fleet
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


def takes(*seconds: float) -> Tool:
    """Answers after so many seconds, one after the other; the last again and again."""
    left = iter(seconds)
    last = seconds[-1]

    async def tool(_: Job) -> Outcome:
        await anyio.sleep(next(left, last))
        return None

    return tool


def fails(kind: FailureKind, *, after: float = 1.0) -> Tool:
    return script([kind], seconds=after)


async def learn(fleet: Fleet, name: str, *, runs: int = 20) -> None:
    """Let a service be known by runs of a second each."""
    known = fleet.scripted[name].service.memory.durations
    for _ in range(runs):
        known.add(1.0, anyio.current_time())


# --- Race ---


async def test_all_are_asked_at_once_and_the_first_success_wins():
    async with Fleet() as fleet:
        for name, seconds in [("a", 9.0), ("b", 2.0), ("c", 5.0)]:
            fleet.add(name, takes(seconds))
        result = await fleet.race(["a", "b", "c"])
        assert result.service == "b"
        assert anyio.current_time() == pytest.approx(2)
        for name in "abc":
            assert fleet.scripted[name].started == [pytest.approx(0)]
    assert [fleet.scripted[name].in_flight for name in "abc"] == [0, 0, 0]
    assert fleet.told_of(HedgeStarted) == []


async def test_a_fast_failure_loses_to_a_slow_success():
    async with Fleet() as fleet:
        fleet.add("a", fails(FailureKind.AUTH, after=0.1))
        fleet.add("b", takes(30.0))
        assert (await fleet.race(["a", "b"])).service == "b"


async def test_when_none_wins_the_error_has_each_in_the_order_in_which_they_ended():
    async with Fleet() as fleet:
        fleet.add("a", fails(FailureKind.AUTH, after=9.0))
        fleet.add("b", fails(FailureKind.SERVER, after=1.0))
        with pytest.raises(AllServicesFailedError) as caught:
            await fleet.race(["a", "b"])
    assert [a.service for a in caught.value.attempts if isinstance(a, ExecutionResult)] == [
        "b", "a"
    ]  # fmt: skip
    assert anyio.current_time() == pytest.approx(9)


async def test_when_all_are_closed_the_error_says_when_the_first_has_room():
    async with Fleet() as fleet:
        for name, per in [("a", 500.0), ("b", 200.0)]:
            limits = {"windows": [{"requests": 1, "per": per}]}
            fleet.add(name, takes(1.0), quota_limits=limits)
            await fleet.race([name])
        with pytest.raises(AllServicesFailedError) as caught:
            await fleet.race(["a", "b"], deadline=10.0)
    assert caught.value.retry_after == pytest.approx(198, abs=5)


async def test_an_answer_that_is_not_accepted_does_not_win():
    async with Fleet() as fleet:
        fleet.add("a", takes(1.0))
        fleet.add("b", takes(5.0))
        result = await fleet.race(["a", "b"], accept=lambda result: result.service == "b")
        assert result.service == "b"


async def test_nothing_is_tried_again_within_a_race():
    async with Fleet() as fleet:
        fleet.add("a", fails(FailureKind.SERVER))
        with pytest.raises(AllServicesFailedError):
            await fleet.race(["a"])
        assert len(fleet.scripted["a"].started) == 1


async def test_an_unknown_service_or_stagger_is_refused_before_anything_starts():
    async with Fleet() as fleet:
        fleet.add("a", takes(1.0))
        with pytest.raises(ServiceNotFoundError):
            await fleet.race(["a", "x"])
        for stagger in ("p42", -1.0, math.nan):
            with pytest.raises(ValueError, match="stagger must be"):
                await fleet.race(["a"], stagger=stagger)
        assert fleet.scripted["a"].started == []


# --- Hedge ---


async def test_the_next_is_asked_when_the_first_has_been_alone_for_so_long():
    async with Fleet() as fleet:
        fleet.add("a", takes(30.0))
        fleet.add("b", takes(1.0))
        assert (await fleet.race(["a", "b"], stagger=4.0)).service == "b"
        assert fleet.scripted["b"].started == [pytest.approx(4)]
        (told,) = fleet.told_of(HedgeStarted)
        assert (told.service, told.after) == ("b", pytest.approx(4))


async def test_no_hedge_where_the_first_is_quick_enough():
    async with Fleet() as fleet:
        fleet.add("a", takes(3.0))
        fleet.add("b", takes(1.0))
        assert (await fleet.race(["a", "b"], stagger=4.0)).service == "a"
        await anyio.sleep(100)
        assert fleet.scripted["b"].started == []
        assert fleet.scripted["b"].service.memory.budget.left(0.0) == BudgetPolicy().least


async def test_the_same_service_twice_is_a_second_try_beside_a_slow_one():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0, 1.0))
        result = await fleet.race(["a", "a"], stagger=2.0)
        assert result.duration == pytest.approx(1)
        assert a.started == [pytest.approx(0), pytest.approx(2)]
        await anyio.sleep(1)
        assert a.in_flight == 0


async def test_the_quantile_of_its_own_runs_is_how_long_it_is_left_alone():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0, 1.0))
        await learn(fleet, "a")
        await fleet.race(["a", "a"], stagger="p95")
        assert a.started == [pytest.approx(0), pytest.approx(1)]


async def test_nobody_is_slow_of_whom_nothing_is_known():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0))
        await fleet.race(["a", "a"], stagger="p95")
        assert len(a.started) == 1


async def test_no_hedge_without_budget():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0), budget=BudgetPolicy(share=0.0, least=2))
        for _ in range(5):
            await fleet.race(["a", "a"], stagger=2.0)
        assert len(a.started) == 5 + 2
        assert len(fleet.told_of(HedgeStarted)) == 2


async def test_a_hedge_is_paid_by_the_service_that_it_asks_and_another_may_have_what_one_lacks():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0), budget=BudgetPolicy(share=0.0, least=0))
        b = fleet.add("b", takes(1.0))
        assert (await fleet.race(["a", "a", "b"], stagger=2.0)).service == "b"
        assert (len(a.started), len(b.started)) == (1, 1)
        assert b.service.memory.budget.left(0.0) == BudgetPolicy().least - 1


async def test_a_hedge_is_no_call_that_earns_budget():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0), budget=BudgetPolicy(share=1.0, least=0, window=1e6))
        for _ in range(6):
            await fleet.race(["a", "a", "a", "a"], stagger=1.0)
        assert len(a.started) <= 2 * 6


async def test_no_hedge_where_the_quota_is_full_and_the_first_is_not_disturbed():
    async with Fleet() as fleet:
        a = fleet.add("a", takes(30.0), quota_limits={"windows": [{"requests": 1, "per": 99}]})
        result = await fleet.race(["a", "a"], stagger=2.0)
        assert result.success
        assert anyio.current_time() == pytest.approx(30, abs=0.1)
        assert len(a.started) == 1


async def test_no_hedge_waits_for_a_quota():
    async with Fleet() as fleet:
        fleet.add("a", takes(30.0))
        b = fleet.add("b", takes(1.0), quota_limits={"windows": [{"requests": 1, "per": 99}]})
        await fleet.race(["b"])
        assert (await fleet.race(["a", "b"], stagger=2.0)).service == "a"
        assert len(b.started) == 1


async def test_a_hedge_goes_where_the_quota_has_room():
    async with Fleet() as fleet:
        fleet.add("a", takes(30.0))
        fleet.add("b", takes(1.0), quota_limits={"rpm": 60, "rpd": 1000})
        assert (await fleet.race(["a", "b"], stagger=2.0)).service == "b"


async def test_a_failure_is_followed_by_the_next_at_once_and_told():
    async with Fleet() as fleet:
        fleet.add("a", fails(FailureKind.SERVER, after=1.0))
        b = fleet.add("b", takes(1.0), budget=BudgetPolicy(share=0.0, least=0))
        assert (await fleet.race(["a", "b"], stagger=50.0)).service == "b"
        assert b.started == [pytest.approx(1)]
        assert [(e.origin, e.service) for e in fleet.told_of(FailedOver)] == [("a", "b")]


async def test_the_same_service_again_after_a_failure_is_paid_for_too():
    async with Fleet() as fleet:
        a = fleet.add(
            "a",
            fails(FailureKind.SERVER),
            budget=BudgetPolicy(share=0.0, least=2),
            breaker=BreakerPolicy(consecutive=100, volume=1000),
        )
        for _ in range(10):
            with pytest.raises(AllServicesFailedError):
                await fleet.race(["a", "a"], stagger=50.0)
        assert len(a.started) == 10 + 2


async def test_one_that_is_gone_meanwhile_is_no_bug():
    async with Fleet() as fleet:
        fleet.add("a", takes(30.0))
        fleet.add("b", takes(1.0))

        async def unregister() -> None:
            await anyio.sleep(1)
            del fleet.router.roster["b"]

        fleet.lifespan.group.start_soon(unregister)
        assert (await fleet.race(["a", "b"], stagger=2.0)).service == "a"


async def test_a_hedge_that_found_no_room_is_asked_as_a_call_when_the_others_have_failed():
    async with Fleet() as fleet:
        fleet.add("a", fails(FailureKind.SERVER, after=10.0))
        limits = {"windows": [{"requests": 1, "per": 30}]}
        b = fleet.add("b", takes(1.0), quota_limits=limits)
        await fleet.race(["b"])
        result = await fleet.race(["a", "b"], stagger=2.0)
        assert result.service == "b"
        assert b.started == [pytest.approx(0), pytest.approx(30, abs=2)]  # waits for its quota
        assert [(e.origin, e.service) for e in fleet.told_of(FailedOver)] == [("a", "b")]


async def test_a_hedge_that_did_not_start_costs_no_budget():
    async with Fleet() as fleet:
        fleet.add("a", takes(30.0))
        limits = {"windows": [{"requests": 1, "per": 999}]}
        b = fleet.add("b", takes(1.0), quota_limits=limits)
        await fleet.race(["b"])
        for _ in range(4):
            await fleet.race(["a", "b"], stagger=2.0)
        assert len(fleet.told_of(HedgeStarted)) == 4
        assert len(b.started) == 1
        assert b.service.memory.budget.left(anyio.current_time()) == BudgetPolicy().least


async def test_the_same_service_again_costs_no_budget_where_nothing_started():
    async with Fleet() as fleet:
        limits = {"windows": [{"requests": 1, "per": 999}]}
        a = fleet.add("a", fails(FailureKind.SERVER), quota_limits=limits)
        with pytest.raises(AllServicesFailedError):
            await fleet.race(["a", "a"], stagger=50.0, deadline=60.0)
        assert len(a.started) == 1
        assert a.service.memory.budget.left(anyio.current_time()) == BudgetPolicy().least


async def test_a_hedge_that_is_refused_is_among_the_attempts_of_the_error():
    async with Fleet() as fleet:
        limits = {"windows": [{"requests": 1, "per": 999}]}
        fleet.add("a", fails(FailureKind.SERVER, after=30.0), quota_limits=limits)
        with pytest.raises(AllServicesFailedError) as caught:
            await fleet.race(["a", "a"], stagger=2.0)
    assert [type(attempt) for attempt in caught.value.attempts] == [
        QuotaExceededError, ExecutionResult
    ]  # fmt: skip


def one_in_a_hundred_is_slow(seed: int) -> Iterator[float]:
    """Seconds of runs, about a second each; of every hundred one takes 20 times as long."""
    rng = Random(seed)
    while True:
        slow = rng.randrange(100)
        for number in range(100):
            yield 20.0 if number == slow else rng.lognormvariate(0.0, 0.3)


async def tail(race: Callable[[Fleet], object], calls: int, seed: int) -> tuple[float, int]:
    """The 99th percentile of the seconds that calls took, and how many runs were started."""
    seconds = one_in_a_hundred_is_slow(seed)

    async def tool(_: Job) -> Outcome:
        await anyio.sleep(next(seconds))
        return None

    taken: list[float] = []
    async with Fleet() as fleet:
        a = fleet.add("a", tool)
        for _ in range(calls):
            began = anyio.current_time()
            await race(fleet)  # type: ignore[misc]
            taken.append(anyio.current_time() - began)
        return sorted(taken)[calls * 99 // 100], len(a.started)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_hedging_at_p95_makes_p99_five_times_better_for_five_per_cent_more(seed: int):
    calls = 4000
    plain, _ = await tail(lambda fleet: fleet.race(["a"]), calls, seed)
    hedged, runs = await tail(lambda fleet: fleet.race(["a", "a"], stagger="p95"), calls, seed)
    print(f"p99 {plain:.2f} s alone, {hedged:.2f} s hedged, {runs / calls - 1:.2%} more runs")
    assert plain / hedged >= 5
    assert runs <= 1.05 * calls
