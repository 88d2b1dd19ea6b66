"""The layer of the retry, in front of the others, in virtual time."""

import asyncio

import anyio
import pytest

from leyline.errors import (
    CommandNotFoundError,
    LeylineError,
    QuotaExceededError,
    ServiceUnavailableError,
    SpawnError,
)
from leyline.events import RetryScheduled
from leyline.model import ExecutionResult, Failure, FailureKind
from leyline.policies import BreakerPolicy, BudgetPolicy, RetryPolicy
from tests.calls.scripted import Outcome, Scripted, script, service
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio

SERVER = FailureKind.SERVER
NO_SPAWN = SpawnError("svc", "no descriptors left")
FAST = RetryPolicy(attempts=3, base=0.0)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


def scripted(*outcomes: Outcome, seconds: float = 1.0, **fields: object) -> Scripted:
    return Scripted(tool=script(outcomes, seconds=seconds), config=service(**fields))


def budget_left(called: Scripted) -> int:
    assert called.service.memory.budget is not None
    return called.service.memory.budget.left(anyio.current_time())


async def requests_booked(called: Scripted) -> int:
    assert called.service.meter is not None
    status = await called.service.meter.admission.status()
    return status.limits[0].used


async def test_what_fails_for_a_moment_is_tried_again_and_says_how_many_processes_it_took():
    async with scripted(SERVER, FailureKind.NETWORK, None) as called:
        result = await called.call()
    assert (result.success, result.attempts) == (True, 3)
    assert [job.attempt for job in called.jobs] == [1, 2, 3]


async def test_it_is_tried_no_more_often_than_the_policy_says_and_the_last_failure_stands():
    async with scripted(SERVER, retry=RetryPolicy(attempts=4, base=0.0)) as called:
        result = await called.call()
    assert len(called.started) == result.attempts == 4
    assert result.failure is not None
    assert result.failure.message == "run 4"


@pytest.mark.parametrize("kind", [FailureKind.AUTH, FailureKind.TIMEOUT, FailureKind.BAD_REQUEST])
async def test_what_would_fail_again_is_not_tried_again(kind: FailureKind):
    async with scripted(kind) as called:
        result = await called.call()
        assert budget_left(called) == 3
    assert (len(called.started), result.attempts) == (1, 1)


async def test_the_delays_lie_anywhere_up_to_the_doubled_base():
    policy = RetryPolicy(attempts=4, base=1.0, cap=3.0)
    waits: list[list[float]] = [[], [], []]
    for seed in range(50):
        called = Scripted(tool=script([SERVER]), config=service(retry=policy), seed=seed)
        async with called:
            await called.call()
        for number in range(3):
            waits[number].append(called.started[number + 1] - called.started[number] - 1.0)
    for most, seen in zip((1.0, 2.0, 3.0), waits, strict=True):
        assert all(0.0 <= wait <= most + 1e-6 for wait in seen)
        assert min(seen) < 0.2 * most
        assert max(seen) > 0.8 * most


async def test_what_the_service_asked_for_is_the_least_that_is_waited():
    asked = Failure(kind=FailureKind.OVERLOADED, message="", retry_after=20.0)
    async with scripted(asked, None) as called:
        await called.call()
    first, second = called.started
    assert 21.0 <= second <= 23.0 + 1e-6
    (told,) = called.told_of(RetryScheduled)
    assert (told.attempt, told.delay) == (1, pytest.approx(second - first - 1.0))
    assert told.reason.startswith("overloaded")


async def test_a_rate_limit_is_waited_for_where_the_service_said_for_how_long():
    limited = Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=20.0)
    async with scripted(limited, None) as called:
        result = await called.call()
    assert (result.success, result.attempts) == (True, 2)
    assert called.started[1] >= 21.0


async def test_each_try_books_quota_and_gives_it_back_where_nothing_ran():
    async with scripted(SERVER, NO_SPAWN, None, retry=FAST, quota_limits={"rpm": 60}) as called:
        result = await called.call()
        assert await requests_booked(called) == 2
    assert (result.success, result.attempts) == (True, 2)


async def test_a_try_for_which_there_is_no_quota_in_time_leaves_the_last_result():
    async with scripted(SERVER, None, retry=FAST, quota_limits={"rpm": 1}) as called:
        result = await called.call(deadline=30.0)
        assert budget_left(called) == 3
        assert await requests_booked(called) == 1
    assert isinstance(result, ExecutionResult)
    assert result.failure is not None
    assert (result.failure.kind, result.attempts) == (SERVER, 1)
    assert anyio.current_time() < 2.0  # refused at once


async def test_without_a_deadline_each_try_may_wait_for_its_start_as_long_as_the_first():
    config = {"retry": FAST, "quota_limits": {"rpm": 1}, "timeout_seconds": 61.0}
    async with scripted(SERVER, seconds=30.0, **config) as called:
        result = await called.call()
    assert result.attempts == 3
    assert called.started == pytest.approx([0.0, 60.0, 120.0], abs=10.0)


async def test_nothing_goes_on_past_the_deadline():
    config = {
        "retry": RetryPolicy(attempts=100, base=3.0),
        "budget": BudgetPolicy(least=1000),
        "breaker": None,
    }
    async with scripted(SERVER, **config) as called:
        result = await called.call(deadline=10.0)
        assert budget_left(called) == 1000 - (len(called.started) - 1)
    assert result.attempts == len(called.started) > 1
    assert anyio.current_time() <= 10.0 + 1e-6


async def test_where_the_next_try_would_lie_past_the_deadline_nobody_waits_for_it():
    failure = Failure(kind=SERVER, message="", retry_after=7.0)
    async with scripted(failure, retry=RetryPolicy(attempts=9)) as called:
        result = await called.call(deadline=10.0)
        assert budget_left(called) == 2
    assert (result.attempts, anyio.current_time()) == (2, pytest.approx(9.5, abs=0.5))


async def test_a_later_try_runs_no_longer_than_what_is_left_of_the_deadline():
    async with scripted(SERVER, seconds=6.0, retry=FAST) as called:
        result = await called.call(deadline=10.0)
    assert [job.timeout for job in called.jobs] == pytest.approx([10.0, 4.0])
    assert result.failure is not None
    assert (result.failure.kind, result.attempts) == (FailureKind.TIMEOUT, 2)


async def test_the_budget_is_spent_by_retries_and_ends_them():
    async with scripted(SERVER, retry=RetryPolicy(base=0.0), breaker=None) as called:
        results = [await called.call() for _ in range(5)]
    assert [result.attempts for result in results] == [3, 2, 1, 1, 2]  # 3, and 1 for 5 calls


async def test_without_a_budget_the_policy_alone_counts():
    async with scripted(SERVER, retry=FAST, budget=None, breaker=None) as called:
        assert [(await called.call()).attempts for _ in range(20)] == [3] * 20


async def test_a_retry_that_the_breaker_refuses_costs_no_budget_and_leaves_the_last_result():
    breaker = BreakerPolicy(consecutive=1, opening=100.0, cap=100.0)
    async with scripted(SERVER, breaker=breaker) as called:
        result = await called.call()
        assert budget_left(called) == 3
        with pytest.raises(ServiceUnavailableError):
            await called.call()
        assert budget_left(called) == 3
    assert result.failure is not None
    assert (result.failure.kind, result.attempts, len(called.started)) == (SERVER, 1, 1)


async def test_what_is_not_idempotent_is_not_tried_again_once_it_had_started():
    async with scripted(SERVER, None, idempotent=False) as called:
        result = await called.call()
        assert budget_left(called) == 3
    assert (result.success, len(called.started)) == (False, 1)


async def test_what_is_not_idempotent_is_tried_again_where_nothing_had_started():
    async with scripted(NO_SPAWN, SERVER, None, idempotent=False) as called:
        result = await called.call()
    assert (result.success, result.attempts, len(called.started)) == (False, 1, 2)


async def test_nothing_is_tried_again_once_it_must_not_be_repeated():
    begun = False

    async def tool(_: object) -> Outcome:
        nonlocal begun
        begun = len(called.started) == 2  # the second says something before it fails
        return SERVER

    config = service(retry=RetryPolicy(attempts=5, base=0.0))
    async with Scripted(tool=tool, config=config) as called:
        result = await called.call(may_repeat=lambda: not begun)
        assert budget_left(called) == 2
    assert (result.attempts, len(called.started)) == (2, 2)


async def test_a_process_that_the_system_refused_is_tried_again():
    async with scripted(NO_SPAWN, None) as called:
        result = await called.call()
    assert (result.success, result.attempts, len(called.started)) == (True, 1, 2)


async def test_where_no_process_ever_started_the_last_error_is_raised():
    async with scripted(NO_SPAWN) as called:
        with pytest.raises(SpawnError):
            await called.call()
        assert budget_left(called) == 3
    assert len(called.started) == 3


@pytest.mark.parametrize(
    "error", [CommandNotFoundError("svc", "is not there"), QuotaExceededError("svc", "no room")]
)
async def test_what_would_be_refused_again_is_not_tried_again(error: LeylineError):
    async with scripted(error) as called:
        with pytest.raises(type(error)):
            await called.call()
    assert len(called.started) == 1


async def test_a_missing_command_after_a_run_leaves_what_the_run_said():
    async with scripted(SERVER, CommandNotFoundError("svc", "was removed")) as called:
        result = await called.call()
    assert (result.attempts, len(called.started)) == (1, 2)


@pytest.mark.parametrize("by", ["scope", "task"])
async def test_who_is_cancelled_while_waiting_for_a_retry_starts_nothing_more(by: str):
    asked = Failure(kind=SERVER, message="", retry_after=50.0)
    async with scripted(asked) as called:
        if by == "scope":
            with anyio.move_on_after(10.0) as scope:
                await called.call()
            assert scope.cancelled_caught
        else:
            task = asyncio.create_task(called.call())
            await anyio.sleep(10.0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        assert budget_left(called) == 3
        await anyio.sleep(100.0)
    assert len(called.started) == 1
