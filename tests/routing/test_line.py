"""Who waits for several services goes to the one that has room first, one at a time to each."""

import math
from functools import partial

import anyio
import pytest

from leyline import Priority
from leyline.routing.line import PATIENCE, Line
from leyline.testing import VIRTUAL_BACKEND, VIRTUAL_CLOCK

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


class Visits:
    """What came of those who stood in a line: name, service, when."""

    def __init__(self) -> None:
        self.line = Line(VIRTUAL_CLOCK)
        self.came: list[tuple[str, str | None, float]] = []

    async def stand(
        self,
        name: str,
        opens: dict[str, float],
        *,
        until: float = math.inf,
        stays: float = 10.0,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        place = self.line.place(priority)
        try:
            service = await self.line.turn(place, opens, until=until)
            self.came.append((name, service, round(anyio.current_time(), 3)))
            await anyio.sleep(stays)
        finally:
            self.line.leave(place)


async def test_the_first_waits_where_there_is_room_first_and_only_shortly():
    visits = Visits()
    await visits.stand("a", {"x": 100.0, "y": 40.0})
    assert visits.came == [("a", "y", 40.0 - PATIENCE)]


async def test_one_at_a_time_stands_at_each():
    visits = Visits()
    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(visits.stand, name, {"x": 0.0, "y": 0.5})
    assert visits.came == [("a", "x", 0), ("b", "y", 0), ("c", "x", 10), ("d", "y", 10)]


async def test_the_first_is_not_bound_to_what_opens_late():
    visits = Visits()
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(visits.stand, name, {"soon": 0.0, "tomorrow": 86_400.0})
    assert visits.came == [("a", "soon", 0), ("b", "soon", 10), ("c", "soon", 20)]


async def test_who_waits_for_something_else_waits_for_nobody():
    visits = Visits()
    async with anyio.create_task_group() as group:
        group.start_soon(visits.stand, "a", {"x": 50.0})
        group.start_soon(visits.stand, "b", {"x": 50.0, "y": 0.0})
    assert visits.came == [("b", "y", 0), ("a", "x", 49)]


async def test_where_nothing_opens_in_time_nobody_waits():
    visits = Visits()
    await visits.stand("a", {"x": 100.0}, until=60.0, stays=0)
    await visits.stand("b", {}, stays=0)
    assert visits.came == [("a", None, 0), ("b", None, 0)]


async def test_what_opens_too_late_is_nowhere_to_wait_at_though_another_may_be_in_time():
    visits = Visits()
    async with anyio.create_task_group() as group:
        group.start_soon(visits.stand, "a", {"x": 0.0})
        group.start_soon(partial(visits.stand, "b", {"x": 0.0, "late": 0.9}, until=0.6, stays=0))
    assert visits.came == [("a", "x", 0), ("b", None, 0.6)]


async def test_a_turn_that_does_not_come_in_time_is_given_up():
    visits = Visits()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(visits.stand, "a", {"x": 0.0}, stays=100.0))
        group.start_soon(partial(visits.stand, "b", {"x": 0.0}, until=30.0))
        group.start_soon(partial(visits.stand, "c", {"x": 0.0}))
    assert visits.came == [("a", "x", 0), ("b", None, 30), ("c", "x", 100)]


async def test_who_is_cancelled_holds_nobody_up():
    visits = Visits()
    async with anyio.create_task_group() as group:
        group.start_soon(visits.stand, "a", {"x": 0.0})
        await anyio.sleep(1)
        with anyio.move_on_after(5):
            await visits.stand("b", {"x": 0.0})
        group.start_soon(visits.stand, "c", {"x": 0.0})
    assert visits.came == [("a", "x", 0), ("c", "x", 10)]


async def test_a_place_is_kept_by_who_comes_back():
    visits = Visits()
    place = visits.line.place()
    async with anyio.create_task_group() as group:
        group.start_soon(visits.stand, "a", {"x": 0.0})
        await anyio.sleep(1)
        group.start_soon(visits.stand, "b", {"x": 0.0})
        await anyio.sleep(1)
        assert await visits.line.turn(place, {"x": 0.0}, until=math.inf) == "x"
        assert anyio.current_time() == 10  # before b, although it came back after
        visits.line.leave(place)
    assert visits.came == [("a", "x", 0), ("b", "x", 10)]


async def test_the_more_urgent_goes_first_and_nobody_starves():
    visits = Visits()
    async with anyio.create_task_group() as group:
        group.start_soon(visits.stand, "running", {"x": 0.0})
        await anyio.sleep(1)
        group.start_soon(visits.stand, "normal", {"x": 0.0})
        await anyio.sleep(1)
        urgent = partial(visits.stand, stays=0.0, priority=Priority.HIGH)
        for number in range(1500):
            group.start_soon(urgent, f"urgent {number}", {"x": 0.0})
    order = [name for name, _, _ in visits.came]
    assert order[1] == "urgent 0"
    assert 900 < order.index("normal") < 1100
