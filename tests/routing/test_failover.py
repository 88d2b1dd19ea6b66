"""One service after the other under one deadline: in virtual time, each scripted."""

import math
import pickle

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.errors import (
    AllServicesFailedError,
    CommandNotFoundError,
    QuotaExceededError,
    ServiceUnavailableError,
)
from leyline.events import Events
from leyline.model import ExecutionResult, FailureKind
from leyline.routing.failover import Failover, Terms
from tests.routing.ladder import (
    Ladder,
    Tool,
    all_failed,
    bad,
    busy,
    good,
    hangs,
    opens,
    says,
)
from tests.virtual import EPOCH, VIRTUAL_BACKEND, VIRTUAL_CLOCK, run_virtual

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


# --- Order, reasons ---


async def test_services_are_asked_in_order_until_one_answers_and_each_hop_is_told():
    gone = CommandNotFoundError("b", "not on PATH")
    ladder = Ladder(
        {"a": says(bad("a")), "b": says(gone), "c": says(good("c")), "d": says(good("d"))}
    )
    assert (await ladder.run()).service == "c"
    assert [at for at, _, _ in ladder.asked] == [
        pytest.approx(0), pytest.approx(1), pytest.approx(1)
    ]  # fmt: skip
    assert ladder.order == ["a", "b", "c"]
    assert ladder.hops == [("a", "b", "server: no"), ("b", "c", "b: not on PATH")]


async def test_when_all_fail_each_is_in_the_error_in_the_order_tried_with_its_reason():
    gone = CommandNotFoundError("b", "not on PATH")
    ladder = Ladder({"a": says(bad("a")), "b": says(gone)})
    out = [ServiceUnavailableError("z", "unhealthy: no login")]
    ladder.tools["z"] = says(good("z"))
    error = await all_failed(ladder, out=out)
    assert error.attempts == (out[0], bad("a"), gone)
    assert [line.strip() for line in str(error).splitlines()] == [
        "all 3 services failed:",
        "z: unhealthy: no login",
        "a: server: no",
        "b: not on PATH",
    ]
    assert error.retry_after is None
    assert ladder.order == ["a", "b"]


async def test_a_service_named_twice_is_asked_once():
    ladder = Ladder({"a": says(bad("a"))})
    failover = Failover(
        services=["a", "a"],
        ask=ladder.ask,
        seconds=None,
        longest_wait=0.0,
        clock=VIRTUAL_CLOCK,
        events=Events(),
        call="c",
    )
    async with anyio.create_task_group() as group:
        with pytest.raises(AllServicesFailedError):
            await failover.run(group=group, accept=None)
    assert ladder.order == ["a"]


async def test_only_the_only_service_may_repeat_and_only_the_last_is_not_left_early():
    alone = Ladder({"a": says(bad("a"))})
    await all_failed(alone)
    two = Ladder({"a": says(bad("a")), "b": says(bad("b"))})
    await all_failed(two)
    one_left = Ladder({"z": says(bad("z")), "b": says(bad("b"))})
    await all_failed(one_left, out=[ServiceUnavailableError("z", "unhealthy")])
    assert [(t.only, t.last) for _, _, t in alone.asked] == [(True, True)]
    assert [(t.only, t.last) for _, _, t in two.asked] == [(False, False), (False, True)]
    assert [(t.only, t.last) for _, _, t in one_left.asked] == [(False, True)]


async def test_an_answer_that_is_not_accepted_sends_the_call_on():
    ladder = Ladder({"a": says(good("a", "meh")), "b": says(good("b", "fine"))})
    result = await ladder.run(accept=lambda result: result.text == "fine")
    assert result.service == "b"
    assert ladder.hops == [("a", "b", "not accepted")]


async def test_no_answer_accepted_is_an_error_that_says_so():
    ladder = Ladder({"a": says(good("a"))})
    error = await all_failed(ladder, accept=lambda _: False)
    assert "a: succeeded, but was not accepted" in str(error)


async def test_a_call_that_is_wrong_itself_ends_the_ladder_and_nobody_is_waited_for():
    ladder = Ladder(
        {
            "q": opens("q", 5.0),
            "a": says(bad("a", FailureKind.BAD_REQUEST)),
            "b": says(good("b")),
        }
    )
    error = await all_failed(ladder)
    assert ladder.order == ["q", "a"]
    assert anyio.current_time() == pytest.approx(1)
    assert len(error.attempts) == 2
    assert error.retry_after == pytest.approx(4)


# --- One deadline ---


@pytest.mark.parametrize("rungs", [2, 3, 5, 12])
async def test_the_last_is_reached_when_each_before_it_hangs(rungs: int):
    names = [f"s{number}" for number in range(rungs)]
    ladder = Ladder({name: hangs(name) for name in names[:-1]})
    ladder.tools[names[-1]] = says(good(names[-1]))
    result = await ladder.run(seconds=60.0)
    assert result.service == names[-1]
    assert ladder.order == names
    last = ladder.asked[-1]
    assert last[2].seconds == pytest.approx(60.0 - last[0])
    assert last[2].seconds == pytest.approx(min(12.0, 60.0 / rungs))


async def test_the_ladder_ends_with_its_deadline_when_all_hang():
    ladder = Ladder({name: hangs(name) for name in "abc"})
    error = await all_failed(ladder, seconds=30.0)
    assert anyio.current_time() == pytest.approx(30)
    assert len(error.attempts) == 3


@settings(deadline=None)
@given(
    seconds=st.floats(0.1, 1e4),
    plan=st.lists(st.one_of(st.just(math.inf), st.floats(0.01, 1e4)), min_size=1, max_size=8),
)
def test_no_plan_overruns_the_deadline_and_each_gets_its_share(seconds: float, plan: list[float]):
    names = [f"s{number}" for number in range(len(plan))]

    def tool(name: str, takes: float) -> Tool:
        async def run(terms: Terms) -> ExecutionResult:
            assert terms.seconds is not None
            await anyio.sleep(min(takes, terms.seconds))
            return bad(name)

        return run

    ladder = Ladder({name: tool(name, takes) for name, takes in zip(names, plan, strict=True)})

    async def main() -> float:
        await all_failed(ladder, seconds=seconds)
        return anyio.current_time()

    assert run_virtual(main) <= seconds * (1 + 1e-9) + 1e-3
    assert ladder.order == names
    share = min(0.2, 1 / len(plan)) * seconds
    for at, _, terms in ladder.asked:
        assert terms.seconds is not None
        assert terms.seconds >= share * (1 - 1e-9) - 1e-3
        assert at + terms.seconds <= seconds * (1 + 1e-9) + 1e-3


async def test_time_is_kept_for_one_that_had_no_room_and_will_have_it_in_time():
    ladder = Ladder({"q": opens("q", 5.0), "far": opens("far", 500.0), "a": hangs("a")})
    assert (await ladder.run(seconds=30.0)).service == "q"
    assert ladder.asked[2][2].seconds == pytest.approx(24)
    assert anyio.current_time() == pytest.approx(25)


async def test_one_for_which_no_time_is_left_is_not_asked_and_the_error_says_so():
    async def overruns(terms: Terms) -> ExecutionResult:
        await anyio.sleep((terms.seconds or 0.0) + 9.0)
        return bad("a")

    ladder = Ladder({"q": opens("q", 12.0), "a": overruns, "b": says(good("b"))})
    error = await all_failed(ladder, seconds=10.0)
    assert ladder.order == ["q", "a"]
    assert str(error.attempts[-1]) == "b: no time was left for it; allow a longer deadline"
    assert len(error.attempts) == 3


# --- No room ---


async def test_a_closed_quota_is_passed_over_at_once():
    ladder = Ladder({"q": opens("q", 5.0), "a": says(good("a"))})
    assert (await ladder.run()).service == "a"
    assert anyio.current_time() == pytest.approx(1)
    assert ladder.hops == [("q", "a", "q: 60 of 60")]


async def test_it_is_waited_for_where_no_other_answers_the_earliest_first():
    ladder = Ladder({"late": opens("late", 9.0), "soon": opens("soon", 5.0), "a": says(bad("a"))})
    assert (await ladder.run()).service == "soon"
    assert anyio.current_time() == pytest.approx(6)
    assert ladder.order == ["late", "soon", "a", "soon"]
    assert ladder.ran == ["a", "soon"]  # none twice
    assert ladder.hops[-1] == ("a", "soon", "server: no")


async def test_the_next_to_open_has_its_turn_when_the_first_fails_too():
    async def opens_and_fails(terms: Terms) -> ExecutionResult:
        await opens("soon", 5.0)(terms)
        return bad("soon")

    ladder = Ladder({"late": opens("late", 9.0), "soon": opens_and_fails})
    assert (await ladder.run()).service == "late"
    assert anyio.current_time() == pytest.approx(10)
    assert ladder.ran == ["soon", "late"]


@pytest.mark.parametrize("limits", [{"seconds": 4.0}, {"longest_wait": 4.0}])
async def test_what_opens_too_late_is_not_waited_for_and_the_error_says_when_to_come_back(limits):
    ladder = Ladder({"a": opens("a", 90.0), "b": opens("b", 50.0), "c": says(bad("c"))})
    error = await all_failed(ladder, **limits)
    assert anyio.current_time() == pytest.approx(1)
    assert [type(attempt) for attempt in error.attempts] == [
        QuotaExceededError, QuotaExceededError, ExecutionResult
    ]  # fmt: skip
    assert error.retry_after == pytest.approx(49)
    assert "the first has room again in 49.0 s" in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.retry_after) == (str(error), error.retry_after)
    assert len(copy.attempts) == 3


async def test_a_service_that_said_so_in_its_result_counts_for_when_to_come_back_but_not_again():
    ladder = Ladder(
        {
            "a": says(bad("a", FailureKind.RATE_LIMITED, retry_after=3.0)),
            "b": says(bad("b", FailureKind.QUOTA_EXHAUSTED, until=EPOCH + 4.5), after=2.0),
        }
    )
    error = await all_failed(ladder)
    assert ladder.ran == ["a", "b"]
    assert error.retry_after == pytest.approx(1.0)  # a at 4, seen at 3


async def test_what_waits_for_a_quota_still_keeps_the_deadline():
    ladder = Ladder({"a": opens_then_hangs("a", 8.0), "b": says(bad("b"))})
    await all_failed(ladder, seconds=10.0)
    assert anyio.current_time() == pytest.approx(10)


def opens_then_hangs(service: str, at: float) -> Tool:
    async def tool(terms: Terms) -> ExecutionResult:
        ends = anyio.current_time() + (terms.seconds or 0.0)
        wait = at - anyio.current_time()
        if wait > terms.max_wait:
            raise QuotaExceededError(service, "60 of 60", wait, "rpm", 60, 60)
        await anyio.sleep_until(ends)
        return bad(service, FailureKind.TIMEOUT)

    return tool


async def test_a_place_that_may_come_free_at_any_moment_is_waited_for():
    ladder = Ladder({"a": busy("a", 7.0)})
    assert (await ladder.run()).service == "a"
    assert anyio.current_time() == pytest.approx(8)
    assert len(ladder.asked) == 1  # the only one is not passed over first


async def test_a_place_is_waited_for_only_until_another_service_has_room():
    ladder = Ladder({"full": busy("full", 30.0), "q": opens("q", 10.0)})
    assert (await ladder.run()).service == "q"
    assert anyio.current_time() == pytest.approx(11, abs=0.1)
    assert ladder.order == ["full", "q", "full", "q"]


async def test_what_opens_too_late_is_not_asked_while_a_place_elsewhere_may_come_free():
    ladder = Ladder({"late": opens("late", 0.9), "full": busy("full", math.inf)})
    other = ladder.line.place()
    await ladder.line.turn(other, {"full": 0.0}, until=math.inf)
    await all_failed(ladder, seconds=0.6)
    assert ladder.order == ["late", "full"]
    assert anyio.current_time() == pytest.approx(0.6)


async def test_a_call_too_large_is_not_asked_again_and_again_while_others_hold_what_has_room():
    never = QuotaExceededError("large", "the call alone is more", None, "tpm", 0, 10)
    ladder = Ladder({"held": opens("held", 0.1), "large": says(never), "a": says(bad("a"))})
    other = ladder.line.place()
    await ladder.line.turn(other, {"held": 0.0}, until=math.inf)
    await all_failed(ladder, seconds=5.0)
    assert ladder.order == ["held", "large", "a", "large"]


async def test_a_call_too_large_for_a_quota_is_not_asked_for_ever():
    never = QuotaExceededError("a", "the call alone is more", None, "tpm", 0, 10)
    ladder = Ladder({"a": says(never)})
    error = await all_failed(ladder)
    assert error.attempts == (never,)
    assert ladder.order == ["a", "a"]


# --- Not usable ---


async def test_an_open_breaker_is_waited_for_where_no_other_answers():
    ladder = Ladder({"a": says(good("a")), "b": says(bad("b"))})
    out = [ServiceUnavailableError("a", "its breaker is open for 9.0 s", 9.0)]
    assert (await ladder.run(out=out)).service == "a"
    assert [(at, service) for at, service, _ in ladder.asked] == [
        (pytest.approx(0), "b"), (pytest.approx(9), "a")
    ]  # fmt: skip


async def test_what_is_asked_after_a_wait_gets_only_what_is_left_of_the_deadline():
    ladder = Ladder({"a": hangs("a")})
    out = [ServiceUnavailableError("a", "its breaker is open for 8.0 s", 8.0)]
    await all_failed(ladder, out=out, seconds=10.0)
    assert ladder.asked[0][2].seconds == pytest.approx(2)
    assert anyio.current_time() == pytest.approx(10)


async def test_a_breaker_that_refuses_again_and_again_is_not_asked_in_a_busy_loop():
    ladder = Ladder({"a": says(ServiceUnavailableError("a", "its probe is under way", 0.0))})
    await all_failed(ladder, longest_wait=5.0)
    assert anyio.current_time() == pytest.approx(5.0, abs=0.1)
    assert len(ladder.asked) <= 102


async def test_an_unhealthy_service_is_never_asked():
    ladder = Ladder({"a": says(good("a")), "b": says(good("b"))})
    result = await ladder.run(out=[ServiceUnavailableError("a", "unhealthy: no login")])
    assert result.service == "b"
    assert ladder.order == ["b"]


async def test_nobody_to_ask_is_an_error_at_once():
    error = await all_failed(Ladder({}))
    assert error.attempts == ()
