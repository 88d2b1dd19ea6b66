"""Several attempts at one answer: the first good one counts, and nothing of the others is left."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.errors import LeylineError, RegistryClosedError, SpawnError
from leyline.model import ExecutionResult, Failure, FailureKind
from leyline.routing.contest import Attempt, Cause, contest
from tests.virtual import VIRTUAL_BACKEND, run_virtual

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


def good(service: str) -> ExecutionResult:
    return ExecutionResult(success=True, service=service, text=service)


def bad(service: str, kind: FailureKind = FailureKind.SERVER) -> ExecutionResult:
    return ExecutionResult(service=service, failure=Failure(kind=kind, message="no"))


async def never_mind() -> None:
    """A clean-up that takes no time."""


@define(eq=False)
class Script:
    """One attempt: after *seconds* it comes to *outcome*; *cleanup* follows if it is cancelled."""

    seconds: float
    outcome: ExecutionResult | Exception
    cleanup: Callable[[], Awaitable[None]] = never_mind
    shielded: bool = False
    started: float | None = None
    cancelled: float | None = None

    async def run(self) -> ExecutionResult:
        self.started = anyio.current_time()
        try:
            with anyio.CancelScope(shield=self.shielded):
                await anyio.sleep(self.seconds)
        except anyio.get_cancelled_exc_class():
            self.cancelled = anyio.current_time()
            with anyio.CancelScope(shield=True):
                await self.cleanup()
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@define
class Scripted:
    """Contenders that come one after the other, and remember what they were told."""

    scripts: list[Script]
    patience: float = 0.0
    told: list[tuple[str, object]] = field(factory=list)
    causes: list[Cause] = field(factory=list)

    def next(self, cause: Cause, /) -> Attempt | None:
        number = len(self.causes)
        if number >= len(self.scripts):
            return None
        self.causes.append(cause)
        patience = self.patience if number + 1 < len(self.scripts) else math.inf
        return Attempt(service=str(number), start=self.scripts[number].run, patience=patience)

    def lost(self, attempt: Attempt, outcome: ExecutionResult | LeylineError, /) -> None:
        self.told.append((attempt.service, outcome))

    @property
    def started(self) -> list[float | None]:
        return [script.started for script in self.scripts]


@asynccontextmanager
async def outer_group() -> AsyncGenerator[TaskGroup, None]:
    """A group that outlives contests; at its end nothing of them may run any more."""
    before = asyncio.all_tasks()
    async with anyio.create_task_group() as group:
        yield group
        await anyio.sleep(1000)  # losers have their clean-up
        assert asyncio.all_tasks() == before
    assert not group.cancel_scope.cancel_called


async def test_the_first_success_wins_and_the_others_are_cancelled_in_that_moment():
    them = Scripted([Script(5, good("0")), Script(2, good("1")), Script(9, good("2"))])
    async with outer_group() as group:
        winner = await contest(them, group=group)
        assert anyio.current_time() == pytest.approx(2)
    assert winner is not None
    assert winner.service == "1"
    assert [script.cancelled for script in them.scripts] == [
        pytest.approx(2), None, pytest.approx(2)
    ]  # fmt: skip
    assert them.told == []


@pytest.mark.parametrize("failure", [bad("0"), SpawnError("0", "no memory")])
async def test_a_fast_failure_loses_to_a_slow_success(failure: ExecutionResult | LeylineError):
    them = Scripted([Script(1, failure), Script(60, good("1"))])
    async with outer_group() as group:
        winner = await contest(them, group=group)
    assert winner is not None
    assert winner.service == "1"
    assert them.told == [("0", failure)]


async def test_of_two_winners_in_one_moment_one_counts_and_the_other_is_dropped():
    them = Scripted([Script(3, good("0")), Script(3, good("1"))])
    async with outer_group() as group:
        winner = await contest(them, group=group)
    assert winner in {good("0"), good("1")}
    assert them.told == []


async def test_an_answer_in_the_very_moment_the_next_is_due_is_taken_and_nobody_started():
    # So close that the loop sees both at once, the answer first.
    them = Scripted([Script(2 - 5e-7, good("0")), Script(1, good("1"))], patience=2)
    async with outer_group() as group:
        assert await contest(them, group=group) == good("0")
    assert them.scripts[1].started is None


async def test_a_loser_that_takes_long_to_clean_up_does_not_delay_the_answer():
    ended: list[float] = []

    async def slowly() -> None:
        await anyio.sleep(500)
        ended.append(anyio.current_time())

    them = Scripted([Script(100, good("0"), slowly), Script(2, good("1"))])
    async with outer_group() as group:
        winner = await contest(them, group=group)
        assert anyio.current_time() == pytest.approx(2)
        assert ended == []
    assert winner == good("1")
    assert ended == [pytest.approx(502)]


@pytest.mark.parametrize("error", [ZeroDivisionError(), SpawnError("0", "x"), OSError("y")])
async def test_a_loser_that_fails_in_its_clean_up_spoils_nothing(error: Exception):
    async def fails() -> None:
        await anyio.sleep(1)
        raise error

    them = Scripted([Script(100, good("0"), fails), Script(2, good("1"))])
    async with outer_group() as group:
        assert await contest(them, group=group) == good("1")
    assert them.told == []


async def test_a_loser_that_answers_although_it_was_cancelled_changes_nothing():
    them = Scripted([Script(5, good("0"), shielded=True), Script(2, good("1"))])
    async with outer_group() as group:
        assert await contest(them, group=group) == good("1")
        assert anyio.current_time() == pytest.approx(2)
    assert them.told == []


async def test_all_failing_gives_none_after_the_last():
    outcomes = [bad("0"), SpawnError("1", "x"), bad("2", FailureKind.TIMEOUT)]
    them = Scripted([Script(9, outcomes[0]), Script(2, outcomes[1]), Script(5, outcomes[2])])
    async with outer_group() as group:
        assert await contest(them, group=group) is None
        assert anyio.current_time() == pytest.approx(9)
    assert them.told == [("1", outcomes[1]), ("2", outcomes[2]), ("0", outcomes[0])]


async def test_nobody_to_try_gives_none():
    async with outer_group() as group:
        assert await contest(Scripted([]), group=group) is None


async def test_one_after_the_other_where_the_patience_is_infinite():
    them = Scripted(
        [Script(3, bad("0")), Script(4, bad("1")), Script(5, good("2"))], patience=math.inf
    )
    async with outer_group() as group:
        assert await contest(them, group=group) == good("2")
    assert them.started == [pytest.approx(0), pytest.approx(3), pytest.approx(7)]
    assert them.causes == [Cause.FIRST, Cause.FAILURE, Cause.FAILURE]


async def test_a_failure_starts_the_next_before_it_is_due():
    them = Scripted([Script(1, bad("0")), Script(50, good("1")), Script(1, good("2"))], patience=9)
    async with outer_group() as group:
        assert await contest(them, group=group) == good("2")
    assert them.started == [pytest.approx(0), pytest.approx(1), pytest.approx(10)]
    assert them.causes == [Cause.FIRST, Cause.FAILURE, Cause.SLOW]


@pytest.mark.parametrize("kind", [FailureKind.BAD_REQUEST, FailureKind.CANCELLED])
async def test_what_would_fail_elsewhere_too_starts_no_other(kind: FailureKind):
    them = Scripted([Script(1, bad("0", kind)), Script(1, good("1"))], patience=math.inf)
    async with outer_group() as group:
        assert await contest(them, group=group) is None
    assert them.started == [pytest.approx(0), None]


async def test_an_answer_that_is_not_accepted_is_a_loss():
    them = Scripted([Script(1, good("0")), Script(2, good("1"))])
    async with outer_group() as group:
        winner = await contest(them, group=group, accept=lambda result: result.service == "1")
    assert winner == good("1")
    assert them.told == [("0", good("0"))]


async def test_accept_is_not_asked_of_a_failure():
    asked: list[str] = []

    def accept(result: ExecutionResult) -> bool:
        asked.append(result.service)
        return True

    them = Scripted([Script(1, bad("0")), Script(2, good("1"))])
    async with outer_group() as group:
        await contest(them, group=group, accept=accept)
    assert asked == ["1"]


async def test_what_accept_raises_reaches_the_caller_and_stops_all():
    def accept(_: ExecutionResult) -> bool:
        raise KeyError("mine")

    them = Scripted([Script(1, good("0")), Script(50, good("1"))])
    async with outer_group() as group:
        with pytest.raises(KeyError, match="mine"):
            await contest(them, group=group, accept=accept)
    assert them.scripts[1].cancelled == pytest.approx(1)


async def test_a_bug_in_an_attempt_reaches_the_caller_as_itself_and_stops_all():
    them = Scripted([Script(1, ZeroDivisionError("bug")), Script(50, good("1"))])
    async with outer_group() as group:
        with pytest.raises(ZeroDivisionError, match="bug"):
            await contest(them, group=group)
    assert them.scripts[1].cancelled == pytest.approx(1)


async def by_scope(run: Callable[[], Awaitable[object]], after: float) -> None:
    with anyio.CancelScope(deadline=anyio.current_time() + after) as scope:
        await run()
    assert scope.cancelled_caught


async def by_task(run: Callable[[], Awaitable[object]], after: float) -> None:
    task = asyncio.ensure_future(run())
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait_for(run: Callable[[], Awaitable[object]], after: float) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run(), after)


CANCELLED = [by_scope, by_task, by_wait_for]


@pytest.mark.parametrize("cancel", CANCELLED)
async def test_a_cancelled_caller_is_back_at_once_and_all_are_cancelled(cancel):
    async def slowly() -> None:
        await anyio.sleep(30)

    them = Scripted([Script(50, good("0"), slowly), Script(60, good("1"))], patience=3)
    async with outer_group() as group:
        await cancel(lambda: contest(them, group=group), 7.0)
        assert anyio.current_time() == pytest.approx(7)
    assert [script.cancelled for script in them.scripts] == [pytest.approx(7)] * 2


@pytest.mark.parametrize("cancel", CANCELLED)
async def test_a_caller_cancelled_between_two_starts_gets_no_second(cancel):
    them = Scripted([Script(50, good("0")), Script(60, good("1"))], patience=30)
    async with outer_group() as group:
        await cancel(lambda: contest(them, group=group), 7.0)
    assert them.started == [pytest.approx(0), None]


@pytest.mark.parametrize("cancel", CANCELLED)
async def test_a_caller_cancelled_before_the_start_starts_nothing(cancel):
    them = Scripted([Script(50, good("0")), Script(60, good("1"))])
    async with outer_group() as group:
        await cancel(lambda: contest(them, group=group), 0.0)
    assert them.started == [None, None]


@pytest.mark.parametrize("turns", range(6))
async def test_a_caller_cancelled_a_few_turns_of_the_loop_later_leaves_nothing(turns: int):
    them = Scripted([Script(50, good("0")), Script(60, good("1"))])
    async with outer_group() as group:
        task = asyncio.ensure_future(contest(them, group=group))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert anyio.current_time() == pytest.approx(0)
    for script in them.scripts:
        assert (script.started is None) == (script.cancelled is None)


async def test_a_group_that_ends_meanwhile_is_told_as_a_closed_registry():
    them = Scripted([Script(50, good("0")), Script(60, good("1"))])
    seen: list[BaseException] = []

    async def call(group: TaskGroup) -> None:
        try:
            await contest(them, group=group)
        except RegistryClosedError as error:
            seen.append(error)

    async with anyio.create_task_group() as callers, anyio.create_task_group() as group:
        callers.start_soon(call, group)
        await anyio.sleep(2)
        group.cancel_scope.cancel()
    assert [type(error) for error in seen] == [RegistryClosedError]
    assert [script.cancelled for script in them.scripts] == [pytest.approx(2)] * 2


async def test_a_group_that_has_ended_starts_nothing():
    them = Scripted([Script(1, good("0"))])
    async with anyio.create_task_group() as group:
        pass
    with pytest.raises(RegistryClosedError):
        await contest(them, group=group)
    assert them.started == [None]


async def test_a_group_that_is_being_cancelled_starts_nothing():
    them = Scripted([Script(1, good("0"))])

    async def linger() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(20):  # turns of the loop: in them, it is still there
                    await asyncio.sleep(0)

    async def call() -> None:
        with pytest.raises(RegistryClosedError):
            await contest(them, group=group)

    async with anyio.create_task_group() as callers, anyio.create_task_group() as group:
        group.start_soon(linger)
        await anyio.sleep(1)
        group.cancel_scope.cancel()
        callers.start_soon(call)
    assert them.started == [None]


# --- Any schedule, against a plain model ---


plans = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from(["good", "bad", "refused", "final", "poor"])),
    min_size=1,
    max_size=6,
)


def model(scripts: list[Script], plan: list[tuple[int, str]], patience: float, stop: float):
    """What has to come of it: (start of each or None, number of the winner or None, end)."""
    starts: list[float | None] = [None] * len(plan)
    nxt, now, due = 0, 0.0, math.inf
    running: list[tuple[float, int]] = []

    def begin() -> None:
        nonlocal nxt, due
        due = math.inf
        if nxt < len(plan):
            starts[nxt] = now
            running.append((now + scripts[nxt].seconds, nxt))
            nxt += 1
            if nxt < len(plan):
                due = now + patience

    begin()
    while patience == 0 and due <= now:
        begin()
    while running:
        end, number = min(running)
        now = min(end, due)
        if now >= stop:
            return starts, None, stop
        if due < end:
            begin()
            continue
        running.remove((end, number))
        what = plan[number][1]
        if what == "good":
            return starts, number, now
        if what != "final" and not (running and what == "refused"):
            begin()
    return starts, None, now


@settings(deadline=None, max_examples=300)
@given(
    plan=plans,
    patience=st.one_of(st.just(0.0), st.just(math.inf), st.integers(0, 8).map(lambda n: n + 0.5)),
    stop=st.one_of(st.just(math.inf), st.integers(0, 30).map(lambda n: n + 0.25)),
    cleanup=st.sampled_from([0, 3]),
)
def test_every_schedule_goes_as_a_plain_model_says(
    plan: list[tuple[int, str]], patience: float, stop: float, cleanup: int
):
    outcomes = {
        "good": good,
        "bad": bad,
        "refused": lambda name: SpawnError(name, "no"),
        "final": lambda name: bad(name, FailureKind.BAD_REQUEST),
        "poor": lambda name: ExecutionResult(success=True, service=name, text="poor"),
    }

    async def clean() -> None:
        await anyio.sleep(cleanup)
        if cleanup:
            raise OSError("in the clean-up")

    them = Scripted(
        # So that no two things happen in one moment: what comes first then is anybody's guess.
        [Script(s + 0.1 / 2**n, outcomes[what](str(n)), clean) for n, (s, what) in enumerate(plan)],
        patience=patience,
    )

    async def main() -> tuple[ExecutionResult | None, float]:
        async with outer_group() as group:
            winner = None
            with anyio.CancelScope(deadline=stop):
                winner = await contest(
                    them, group=group, accept=lambda result: result.text != "poor"
                )
            return winner, anyio.current_time()

    winner, ended = run_virtual(main)
    starts, expected, end = model(them.scripts, plan, patience, stop)
    assert them.started == [None if s is None else pytest.approx(s, abs=1e-3) for s in starts]
    assert (None if winner is None else int(winner.service)) == expected
    assert ended == pytest.approx(end, abs=1e-3)
    for script in them.scripts:
        done_by = math.inf if script.started is None else script.started + script.seconds
        if script.started is None or done_by < end - 1e-3:
            assert script.cancelled is None
        elif done_by > end + 1e-3:
            assert script.cancelled == pytest.approx(end, abs=1e-3)
