"""What calls weigh, and when the calendar days of a quota begin."""

from datetime import date as date_of
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from leyline.limits import DailyReset, Limit, Measure, Weight, named_limit

PACIFIC = "America/Los_Angeles"
HOUR = 3600.0
SPRING, AUTUMN = (2026, 3, 8), (2026, 11, 1)  # 23 and 25 hours long in California


def unix(year: int, month: int, day: int, hour: int = 0, *, zone: str = PACIFIC) -> float:
    return datetime(year, month, day, hour, tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Measure.REQUESTS, 2),
        (Measure.TOKENS, 150),
        (Measure.INPUT_TOKENS, 100),
        (Measure.OUTPUT_TOKENS, 50),
    ],
)
def test_a_measure_counts_its_own(measure: Measure, expected: int):
    assert Weight(requests=2, input_tokens=100, output_tokens=50).of(measure) == expected


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="amount"):
        Limit(name="rpm", measure=Measure.REQUESTS, amount=0, per=60)
    with pytest.raises(ValueError, match="per"):
        Limit(name="rpm", measure=Measure.REQUESTS, amount=1, per=0)
    with pytest.raises(ValueError, match="requests"):
        Weight(requests=-1)


def test_only_limits_of_a_day_are_reset():
    reset = DailyReset(zone=PACIFIC)
    assert named_limit("rpm", 60, reset=reset).reset is None
    assert named_limit("tpd", 60, reset=reset).reset == reset


def test_daily_is_rpd_under_another_name():
    daily, rpd = (named_limit(name, 1000, guard=2.0) for name in ("daily", "rpd"))
    assert evolve(daily, name="rpd") == rpd


@pytest.mark.parametrize("hour", [0, 7])
@pytest.mark.parametrize(("date", "hours"), [(SPRING, 23), (AUTUMN, 25), ((2026, 6, 1), 24)])
def test_a_day_is_as_long_as_it_is_where_it_counts(
    date: tuple[int, int, int], hours: int, hour: int
):
    reset = DailyReset(zone=PACIFIC, hour=hour)
    day = date_of(*date).toordinal() - (hour > 0)  # the clocks change at night, before seven
    begins, ends = unix(*date, hour), unix(*date, hour) + hours * HOUR
    if hour:
        begins, ends = begins - hours * HOUR, begins
    assert reset.ends(begins) == ends
    assert reset.ends(ends - 1) == ends
    assert reset.day(begins) == reset.day(ends - 1) == day
    assert reset.day(begins - 1) == day - 1
    assert reset.day(ends) == day + 1


@pytest.mark.parametrize("hour", [0, 1, 2, 3, 7, 23])
@pytest.mark.parametrize("date", [SPRING, AUTUMN])
def test_no_day_comes_back_and_none_is_left_out(date: tuple[int, int, int], hour: int):
    reset = DailyReset(zone=PACIFIC, hour=hour)
    noon = unix(*date, 12)
    days = [reset.day(noon + minutes * 60.0) for minutes in range(-3 * 1440, 3 * 1440)]
    assert days == sorted(days)
    assert sorted(set(days)) == list(range(days[0], days[-1] + 1))


@given(
    wall=st.floats(1.7e9, 2.2e9),
    zone=st.sampled_from(
        ["UTC", PACIFIC, "Asia/Tokyo", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"]
    ),
    hour=st.integers(0, 23),
)
def test_the_next_day_begins_where_one_ends(wall: float, zone: str, hour: int):
    reset = DailyReset(zone=zone, hour=hour)
    ends = reset.ends(wall)
    assert 0 < ends - wall <= 25 * HOUR
    assert reset.day(ends - 0.001) == reset.day(wall)
    assert reset.day(ends) == reset.day(wall) + 1
