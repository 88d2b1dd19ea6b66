"""Who is next in a queue of three classes."""

import math
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from leyline.model import Priority
from leyline.quota.queue import PATIENCE, Queue

HIGH, NORMAL, LOW = Priority


def drain(queue: Queue[str]) -> list[str]:
    return [queue.pop() or "" for _ in range(len(queue))]


def test_first_come_is_first_served_within_a_class():
    queue = Queue[str]()
    for name in "abcde":
        queue.add(name, NORMAL)
    assert drain(queue) == list("abcde")
    assert queue.pop() is None


def test_a_higher_class_goes_before_a_lower_one():
    queue = Queue[str]()
    for name, priority in [("low", LOW), ("normal", NORMAL), ("high", HIGH), ("high too", HIGH)]:
        queue.add(name, priority)
    assert drain(queue) == ["high", "high too", "normal", "low"]


def test_a_class_that_was_passed_over_often_has_its_turn():
    queue = Queue[str]()
    queue.add("low", LOW)
    for number in range(2 * PATIENCE):
        queue.add(f"high {number}", HIGH)
    assert drain(queue).index("low") == PATIENCE


def test_most_starts_are_the_highest_class_even_behind_an_old_backlog():
    queue = Queue[str]()
    for number in range(1000):
        queue.add(f"low {number}", LOW)
        queue.add(f"normal {number}", NORMAL)
    for number in range(100):
        queue.add(f"high {number}", HIGH)
    first = [queue.pop() or "" for _ in range(120)]
    assert sum(name.startswith("high") for name in first) >= 90


def test_to_look_who_is_first_changes_nothing():
    queue = Queue[str]()
    assert queue.first is None
    queue.add("low", LOW)
    assert queue.first == "low"
    for number in range(2 * PATIENCE):
        queue.add(f"high {number}", HIGH)
    served: list[str] = []
    while (first := queue.first) is not None:
        assert queue.first == first
        served.append(first)
        assert queue.pop() == first
    assert served.index("low") == PATIENCE


def test_who_has_left_is_not_served():
    queue = Queue[str]()
    queue.add("a", NORMAL, deadline=1.0)
    queue.add("b", NORMAL)
    queue.discard("a")
    queue.discard("a")
    assert len(queue) == 1
    assert queue.next_deadline == math.inf
    assert queue.expire(10.0) == []
    assert drain(queue) == ["b"]


def test_those_whose_deadline_lies_before_the_next_start_leave():
    queue = Queue[str]()
    for name, deadline in [("a", 5.0), ("b", 3.0), ("c", None), ("d", 4.0)]:
        queue.add(name, NORMAL, deadline=deadline)
    assert queue.next_deadline == 3.0
    assert queue.expire(3.0) == []  # a start at the deadline is in time
    assert queue.expire(4.5) == ["b", "d"]
    assert drain(queue) == ["a", "c"]


def test_deadlines_of_those_who_have_left_are_not_hoarded():
    queue = Queue[str]()
    for number in range(10_000):
        queue.add(str(number), NORMAL, deadline=1e9)
        queue.pop()
    assert len(queue._deadlines) < 200


moves = st.lists(
    st.one_of(st.sampled_from(list(Priority)), st.just("pop"), st.just("pop"), st.integers(0, 20)),
    max_size=300,
)


@given(moves=moves)
def test_whatever_arrives_everyone_is_served_in_order_and_within_a_bounded_number(moves):
    """A move: a priority arrives, one is served, or the one at a place of the queue leaves."""
    queue, numbers = Queue[int](), iter(range(10_000))
    shadow: dict[Priority, deque[int]] = {priority: deque() for priority in Priority}
    since: dict[Priority, int] = dict.fromkeys(Priority, 0)  # served while its first waited

    def serve() -> None:
        item = queue.pop()
        if item is None:
            assert not any(shadow.values())
            return
        chosen = next(priority for priority in Priority if item in shadow[priority])
        assert shadow[chosen].popleft() == item
        for priority in Priority:
            since[priority] = since[priority] + 1 if shadow[priority] else 0
        since[chosen] = 0
        assert max(since.values()) < PATIENCE + 3

    for move in moves:
        if isinstance(move, Priority):
            number = next(numbers)
            queue.add(number, move)
            shadow[move].append(number)
        elif move == "pop":
            serve()
        else:
            waiting = [item for members in shadow.values() for item in members]
            if move < len(waiting):
                queue.discard(waiting[move])
                for members in shadow.values():
                    if waiting[move] in members:
                        members.remove(waiting[move])
    while len(queue):
        serve()
    assert not any(shadow.values())
