"""What calls weigh, and when the calendar days of a quota begin."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import date as date_of
from zoneinfo import ZoneInfo, available_timezones

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
        [
            "UTC",
            PACIFIC,
            "Asia/Tokyo",
            "America/Santiago",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Pacific/Chatham",
            "Antarctica/Troll",
        ]
    ),
    hour=st.integers(0, 23),
)
def test_the_next_day_begins_where_one_ends(wall: float, zone: str, hour: int):
    reset = DailyReset(zone=zone, hour=hour)
    ends = reset.ends(wall)
    assert 0 < ends - wall <= 25 * HOUR
    assert reset.day(ends - 0.001) == reset.day(wall)
    assert reset.day(ends) == reset.day(wall) + 1


def changes(zone: ZoneInfo, year: int) -> Iterator[int]:
    """The moments of *year* at which the clock of *zone* is changed, to the second."""

    def offset(moment: int) -> timedelta | None:
        return datetime.fromtimestamp(moment, zone).utcoffset()

    begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    for week in range(begin, begin + 53 * 7 * 86_400, 7 * 86_400):
        before, after = week, week + 7 * 86_400
        if offset(before) == offset(after):
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (
                (middle, after) if offset(middle) == offset(before) else (before, middle)
            )
        yield after


def all_changes(year: int) -> dict[tuple[int, timedelta | None, timedelta | None], str]:
    """One zone for each way in which a clock is changed in *year*."""
    found: dict[tuple[int, timedelta | None, timedelta | None], str] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for at in changes(zone, year):
            before, after = (datetime.fromtimestamp(t, zone).utcoffset() for t in (at - 1, at))
            found.setdefault((at, before, after), name)
    return found


def test_in_no_zone_and_at_no_hour_a_day_comes_back_or_ends_late_when_clocks_change():
    found = all_changes(2026)
    shifts = {(before, after) for _, before, after in found}
    assert (timedelta(hours=2), timedelta()) in shifts  # by two hours, in Troll
    assert (timedelta(hours=13.75), timedelta(hours=12.75)) in shifts  # at no full hour, in Chatham
    for (at, _, _), zone in found.items():
        for hour in range(24):
            reset = DailyReset(zone=zone, hour=hour)
            around = [at + minutes * 60.0 for minutes in range(-195, 200, 15)]
            days = [reset.day(moment) for moment in around]
            assert days == sorted(days), (zone, hour)
            assert days[-1] - days[0] <= 1, (zone, hour)
            ends = reset.ends(around[0])
            assert reset.day(ends - 0.001) == days[0], (zone, hour)
            assert reset.day(ends) == days[0] + 1, (zone, hour)


def test_a_day_that_a_zone_leaves_out_takes_no_time():
    reset = DailyReset(zone="Pacific/Apia")
    eve = unix(2011, 12, 29, 12, zone="Pacific/Apia")
    assert reset.ends(eve) == unix(2011, 12, 31, zone="Pacific/Apia")
    assert reset.day(reset.ends(eve)) == date_of(2011, 12, 31).toordinal()
