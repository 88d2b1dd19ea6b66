"""A session ends after an hour without activity."""

from hypothesis import given
from hypothesis import strategies as st

from leyline.usage.sessions import GAP, Session, session_at


def test_less_than_an_hour_later_it_goes_on():
    first = session_at(1000.0, None)
    assert session_at(1000.0 + GAP - 0.001, first).id == first.id


def test_after_an_hour_a_new_one_begins():
    first = session_at(1000.0, None)
    assert session_at(1000.0 + GAP, first).id != first.id


def test_each_activity_gives_it_another_hour():
    first = second = session_at(0.0, None)
    for number in range(1, 10):
        second = session_at(number * 3000.0, second)
    assert second == Session(first.id, 27_000.0)


def test_a_record_that_comes_late_belongs_to_it_and_does_not_shorten_it():
    session = Session("s", 10_000.0)
    assert session_at(1.0, session) == session


def test_names_of_our_making_are_told_from_those_of_callers():
    assert Session.names(Session.at(1e9).id)
    assert not Session.names("nightly")
    assert not Session.names("")


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted))
def test_two_in_a_row_share_a_session_exactly_if_less_than_an_hour_apart(moments: list[float]):
    session = None
    for before, moment in zip([None, *moments], moments, strict=False):
        after = session_at(moment, session)
        if before is not None and session is not None:
            assert (after.id == session.id) == (moment - before < GAP)
        session = after
