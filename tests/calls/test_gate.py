"""Those who wait for a place, in virtual time."""

import asyncio
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.calls.concurrency import AdaptiveLimit, Gate, Ticket
from leyline.model import Priority
from leyline.policies import ConcurrencyPolicy
from tests.virtual import VIRTUAL_BACKEND, run_virtual

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


def gate_of(places: int, *, most: int | None = None) -> Gate:
    return Gate(AdaptiveLimit(ConcurrencyPolicy(initial=places, most=most or places)))


class Visitors:
    """Runs in front of one gate, and what became of them."""

    def __init__(self, gate: Gate, *, seconds: float = 1.0) -> None:
        self.gate = gate
        self.seconds = seconds
        self.entered: list[object] = []
        self.refused: list[object] = []
        self.most_inside = 0

    async def visit(
        self,
        name: object,
        max_wait: float | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        async with self.gate.enter(max_wait=max_wait, priority=priority) as ticket:
            if ticket is None:
                self.refused.append((name, anyio.current_time()))
                return
            self.entered.append(name)
            self.most_inside = max(self.most_inside, self.gate.limit.in_flight)
            await anyio.sleep(self.seconds)
            ticket.overloaded = False


def quiet(gate: Gate) -> bool:
    return gate.waiting == 0 and gate.limit.in_flight == 0


async def test_who_comes_first_is_first():
    visitors = Visitors(gate_of(2))
    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(visitors.visit, number)
    assert visitors.entered == list(range(10))
    assert visitors.most_inside == 2
    assert anyio.current_time() == pytest.approx(5.0)
    assert quiet(visitors.gate)


async def test_the_more_urgent_goes_first():
    visitors = Visitors(gate_of(1))
    async with anyio.create_task_group() as group:
        for name in ("inside", "low", "normal", "high", "low too", "high too"):
            priority = Priority[name.split()[0].upper()] if name != "inside" else Priority.NORMAL
            group.start_soon(visitors.visit, name, None, priority)
    assert visitors.entered == ["inside", "high", "high too", "normal", "low", "low too"]
    assert quiet(visitors.gate)


async def test_nobody_passes_those_who_wait():
    visitors = Visitors(gate_of(1))
    async with anyio.create_task_group() as group:
        group.start_soon(visitors.visit, "inside")
        group.start_soon(visitors.visit, "waits")
        await anyio.sleep(1.0)  # wakes in the moment in which the place is handed over
        group.start_soon(visitors.visit, "late")
        await visitors.visit("later still")
    assert visitors.entered == ["inside", "waits", "later still", "late"]


async def test_who_has_waited_long_enough_is_told_at_once():
    visitors = Visitors(gate_of(1), seconds=100.0)
    async with anyio.create_task_group() as group:
        group.start_soon(visitors.visit, "inside")
        await anyio.sleep(0.5)
        group.start_soon(visitors.visit, "patient")
        for max_wait in (5.0, 2.0, 0.0, -1.0):
            group.start_soon(visitors.visit, max_wait, max_wait)
    assert visitors.refused == [(0.0, 0.5), (-1.0, 0.5), (2.0, 2.5), (5.0, 5.5)]
    assert visitors.entered == ["inside", "patient"]


async def test_who_need_not_wait_may_enter_without_any_patience():
    visitors = Visitors(gate_of(1))
    await visitors.visit("a", 0.0)
    assert visitors.entered == ["a"]


async def test_all_are_let_in_who_have_room_when_the_limit_grows():
    gate = gate_of(2, most=3)
    visitors = Visitors(gate)
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(visitors.visit, number)
        await anyio.sleep(1.5)
        assert gate.limit.limit == 3
        assert visitors.entered == [0, 1, 2, 3, 4]


async def test_after_a_halving_only_as_many_are_let_in_as_are_borne():
    gate = gate_of(4)
    entered: list[int] = []

    async def visit(number: int) -> None:
        async with gate.enter(max_wait=None) as ticket:
            assert ticket is not None
            entered.append(number)
            await anyio.sleep(1.0 if number == 0 else 2.0)
            ticket.overloaded = number == 0

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(visit, number)
        await anyio.sleep(1.5)
        assert (gate.limit.limit, len(entered)) == (2, 4)
        await anyio.sleep(1.0)
        assert (gate.limit.in_flight, len(entered)) == (2, 6)
    assert entered == list(range(8))


async def test_who_is_cancelled_while_waiting_takes_no_place_from_the_others():
    visitors = Visitors(gate_of(1))
    async with anyio.create_task_group() as group:
        group.start_soon(visitors.visit, "inside")
        await anyio.sleep(0.1)
        with anyio.move_on_after(0.1):
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(visitors.visit, "leaves")
                await anyio.sleep(0)
                group.start_soon(visitors.visit, "stays")
    assert visitors.entered == ["inside", "stays"]
    assert anyio.current_time() == pytest.approx(2.0)
    assert quiet(visitors.gate)


def by_task(task: "asyncio.Task[None]", _: anyio.CancelScope) -> None:
    task.cancel()


def by_scope(_: "asyncio.Task[None]", scope: anyio.CancelScope) -> None:
    scope.cancel()


@pytest.mark.parametrize("cancel", [by_task, by_scope])
async def test_a_place_handed_to_one_who_is_cancelled_goes_on_to_the_next(
    cancel: Callable[["asyncio.Task[None]", anyio.CancelScope], None],
):
    gate, scope = gate_of(1), anyio.CancelScope()
    visitors = Visitors(gate)

    async def leaves() -> None:
        with scope:
            await visitors.visit("leaves")

    async with gate.enter(max_wait=None):
        leaving = asyncio.create_task(leaves())
        await anyio.sleep(0.1)
        staying = asyncio.create_task(visitors.visit("stays"))
        await anyio.sleep(0.1)
    # handed over: in flight, but not awake yet
    assert (gate.limit.in_flight, gate.waiting) == (1, 1)
    cancel(leaving, scope)
    await asyncio.wait([leaving, staying])
    assert visitors.entered[-1] == "stays"
    assert anyio.current_time() == pytest.approx(0.2 + 1.0)  # nobody else has stayed
    assert quiet(gate)


async def test_a_place_that_comes_in_the_moment_in_which_time_is_up_is_not_lost():
    gate = gate_of(1)
    visitors = Visitors(gate)
    async with anyio.create_task_group() as group:
        group.start_soon(visitors.visit, "inside")
        await anyio.sleep(0)
        for name in ("a", "b", "c"):
            group.start_soon(visitors.visit, name, 1.0)  # as long as the one inside stays
    assert len(visitors.entered) + len(visitors.refused) == 4
    assert quiet(gate)


async def test_a_run_that_raises_or_is_cancelled_gives_its_place_back_and_teaches_nothing():
    gate = gate_of(1)
    with pytest.raises(KeyError):
        async with gate.enter(max_wait=None):
            raise KeyError
    with anyio.move_on_after(1.0):
        async with gate.enter(max_wait=None):
            await anyio.sleep_forever()
    assert quiet(gate)
    assert gate.limit.limit == 1


async def test_ten_thousand_wait_in_order_and_none_is_woken_in_vain():
    visitors = Visitors(gate_of(10), seconds=0.1)
    async with anyio.create_task_group() as group:
        for number in range(10_000):
            group.start_soon(visitors.visit, number, 1e6)
        await anyio.sleep(0.05)
        waiters = list(visitors.gate._waiters._classes[Priority.NORMAL])
        await anyio.sleep(0.1)
        assert [waiter.turn.is_set() for waiter in waiters[:11]] == [True] * 10 + [False]
    assert visitors.entered == list(range(10_000))
    assert visitors.most_inside == 10


async def test_ten_thousand_who_leave_leave_nothing_behind():
    gate = gate_of(1)
    visitors = Visitors(gate)
    async with gate.enter(max_wait=None):
        with anyio.move_on_after(1.0):
            async with anyio.create_task_group() as group:
                for number in range(10_000):
                    group.start_soon(visitors.visit, number)
    assert visitors.entered == []
    assert quiet(gate)


tenths = st.integers(0, 20).map(lambda tenth: tenth / 10)
visits = st.lists(
    st.tuples(
        tenths,  # when it comes
        st.none() | tenths,  # how long it waits
        tenths,  # how long it stays
        st.none() | tenths,  # when it is cancelled, after it came
        st.sampled_from([True, False, None]),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(visits=visits, places=st.integers(1, 3))
def test_whoever_comes_stays_or_leaves_no_place_is_lost_and_none_is_given_twice(
    visits: list[tuple[float, float | None, float, float | None, bool | None]], places: int
):
    gate = gate_of(places, most=4)
    inside: set[Ticket] = set()

    async def visit(
        max_wait: float | None, stay: float, cancel: float | None, overloaded: bool | None
    ) -> None:
        with anyio.move_on_after(10_000.0 if cancel is None else cancel):
            async with gate.enter(max_wait=max_wait) as ticket:
                if ticket is None:
                    return
                inside.add(ticket)
                try:
                    assert len(inside) <= 4
                    await anyio.sleep(stay)
                    ticket.overloaded = overloaded
                finally:
                    inside.discard(ticket)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for comes, max_wait, stay, cancel, overloaded in sorted(visits, key=lambda v: v[0]):
                await anyio.sleep_until(comes)
                group.start_soon(visit, max_wait, stay, cancel, overloaded)
        assert quiet(gate)  # all have left; had a place been lost, who waits would wait for ever
        assert anyio.current_time() < 1_000.0

    run_virtual(main)
