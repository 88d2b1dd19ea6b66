"""How many runs at once a service bears."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.calls.concurrency import AdaptiveLimit, Ticket
from leyline.policies import ConcurrencyPolicy


def limit_of(initial: int, *, least: int = 1, most: int = 1000) -> AdaptiveLimit:
    return AdaptiveLimit(ConcurrencyPolicy(initial=initial, least=least, most=most))


def fill(limit: AdaptiveLimit) -> list[Ticket]:
    tickets: list[Ticket] = []
    while ticket := limit.try_acquire():
        tickets.append(ticket)
    return tickets


def release(limit: AdaptiveLimit, *tickets: Ticket, overloaded: bool | None) -> None:
    for ticket in tickets:
        ticket.overloaded = overloaded
        limit.release(ticket)


@pytest.mark.parametrize(("initial", "limit"), [(1, 2), (2, 2), (5, 5), (8, 8), (9, 8)])
def test_it_begins_where_the_policy_says_within_the_bounds(initial: int, limit: int):
    assert limit_of(initial, least=2, most=8).limit == limit


def test_no_more_are_let_in_than_the_limit():
    limit = limit_of(3)
    tickets = fill(limit)
    assert len(tickets) == limit.in_flight == 3
    release(limit, tickets[0], overloaded=None)
    assert limit.try_acquire() is not None
    assert limit.try_acquire() is None


def test_a_burst_of_overloads_halves_it_once():
    limit = limit_of(20)
    release(limit, *fill(limit), overloaded=True)
    assert (limit.limit, limit.in_flight) == (10, 0)


def test_an_overload_that_began_since_halves_it_again():
    limit = limit_of(20)
    old = fill(limit)
    release(limit, *old[:11], overloaded=True)
    (new,) = fill(limit)
    release(limit, *old[11:], overloaded=True)
    assert limit.limit == 10
    release(limit, new, overloaded=True)
    assert limit.limit == 5


def test_nobody_is_let_in_until_those_above_the_limit_have_gone():
    limit = limit_of(4)
    tickets = fill(limit)
    release(limit, tickets[0], overloaded=True)
    release(limit, tickets[1], overloaded=None)
    assert (limit.limit, limit.in_flight) == (2, 2)
    assert limit.try_acquire() is None
    release(limit, tickets[2], overloaded=None)
    assert limit.try_acquire() is not None


def test_a_round_of_successes_at_the_limit_makes_one_more():
    limit = limit_of(4)
    release(limit, *fill(limit), overloaded=False)
    assert limit.limit == 5
    release(limit, *fill(limit)[:4], overloaded=False)
    assert limit.limit == 5  # four of five


def test_successes_below_the_limit_make_none_more():
    limit = limit_of(4)
    for _ in range(1000):
        tickets = [limit.try_acquire() or pytest.fail("full") for _ in range(3)]
        release(limit, *tickets, overloaded=False)
    assert limit.limit == 4


def test_successes_of_before_the_halving_do_not_make_it_grow():
    limit = limit_of(20)
    tickets = fill(limit)
    release(limit, tickets[0], overloaded=True)
    release(limit, *tickets[1:], overloaded=False)
    assert limit.limit == 10


def test_what_was_cancelled_changes_nothing():
    limit = limit_of(4)
    for _ in range(100):
        release(limit, *fill(limit), overloaded=None)
    assert (limit.limit, limit.in_flight) == (4, 0)


def test_it_stays_within_its_bounds():
    limit = limit_of(4, least=3, most=5)
    for _ in range(10):
        release(limit, *fill(limit), overloaded=False)
    assert limit.limit == 5
    for _ in range(10):
        release(limit, *fill(limit), overloaded=True)
    assert limit.limit == 3


def test_a_place_is_given_back_once():
    limit = limit_of(4)
    ticket, *_ = fill(limit)
    release(limit, ticket, ticket, ticket, overloaded=False)
    assert limit.in_flight == 3


def test_it_finds_what_the_service_bears_and_stays_near_it():
    """A service that bears 50, under endless demand."""
    limit, seen = limit_of(20), list[int]()
    for _ in range(400):
        tickets = fill(limit)
        seen.append(len(tickets))
        for place, ticket in enumerate(tickets):
            release(limit, ticket, overloaded=place >= 50)
    late = seen[100:]
    assert max(late) == 51
    assert min(late) == 25
    assert sum(late) / len(late) > 0.7 * 50


def test_where_nothing_was_borne_between_two_halvings_it_was_down_and_comes_back_by_doubling():
    limit = limit_of(64)
    for _ in range(8):
        release(limit, *fill(limit), overloaded=True)
    assert limit.limit == 1
    inside, seen = fill(limit), list[int]()
    for _ in range(8):
        after = list[Ticket]()
        for ticket in inside:
            release(limit, ticket, overloaded=False)
            after += fill(limit)
        inside = after
        seen.append(limit.limit)
    assert seen == [2, 4, 8, 16, 32, 64, 65, 66]


def test_what_had_begun_before_it_was_down_does_not_say_that_it_was_crowded():
    limit = limit_of(64)
    old = fill(limit)
    release(limit, *old[:40], overloaded=True)
    new, *others = fill(limit)
    release(limit, *old[40:], overloaded=False)
    release(limit, new, overloaded=True)
    assert limit.limit == 16
    release(limit, *others, overloaded=None)
    inside = fill(limit)
    for ticket in inside:
        release(limit, ticket, overloaded=False)
        inside += fill(limit)
        if limit.limit == 64:
            break
    assert len(inside) <= 2 * 64 + 1  # by each success


def test_a_service_that_refuses_before_it_answers_is_not_taken_for_one_that_is_down():
    limit, seen = limit_of(1000), list[int]()
    for _ in range(300):  # it bears 10; what is too much is refused first
        tickets = fill(limit)
        seen.append(len(tickets))
        release(limit, *tickets[10:], overloaded=True)
        release(limit, *tickets[:10], overloaded=False)
    assert max(seen[20:]) == 11
    assert min(seen[20:]) >= 5


moves = st.lists(
    st.one_of(st.just("in"), st.tuples(st.sampled_from([True, False, None]), st.integers(0, 50))),
    max_size=300,
)


@settings(deadline=None)
@given(
    bounds=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)).map(sorted),
    moves=moves,
)
def test_whatever_happens_it_is_within_bounds_and_moves_by_the_rule(
    bounds: list[int], moves: list[str | tuple[bool | None, int]]
):
    least, initial, most = bounds
    limit = limit_of(initial, least=least, most=most)
    inside: list[tuple[Ticket, int]] = []  # and when each began
    halved_at = borne = peak = 0
    alive, crowded, fast_until = True, limit.limit, limit.limit
    for time, move in enumerate(moves, 1):
        before = limit.limit
        if isinstance(move, str):
            ticket = limit.try_acquire()
            assert (ticket is not None) == (len(inside) < before)
            if ticket is not None:
                inside.append((ticket, time))
                peak = max(peak, len(inside))
        elif inside:
            overloaded, place = move
            ticket, began = inside.pop(place % len(inside))
            release(limit, ticket, overloaded=overloaded)
            counts = began > halved_at
            if overloaded and counts:
                assert limit.limit == max(least, min(before, peak) // 2)
                if alive:
                    crowded, fast_until = before, limit.limit
                else:
                    fast_until = crowded
                halved_at, borne, peak, alive = time, 0, len(inside) + 1, False
            elif overloaded is False and counts:
                borne, alive = borne + 1, True
                enough = borne == before or before < fast_until
                grows = enough and peak >= before and before < most
                assert limit.limit == before + grows
                if enough:
                    borne, peak = 0, len(inside) + 1
            else:
                assert limit.limit == before
        assert least <= limit.limit <= most
        assert limit.in_flight == len(inside)
