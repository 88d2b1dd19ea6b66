"""When a service says it will answer again, in every wording that was seen."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.outcome.durations import LONGEST, parse_duration
from leyline.outcome.moments import parse_moment
from leyline.outcome.waiting import find_waiting, read_waiting

NOW = datetime(2026, 4, 22, 12, 0, tzinfo=UTC).timestamp()
DAY = 86_400.0


def at(*moment: int, zone: str = "UTC") -> float:
    return datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30.0),
        (0, 0.0),
        ("30", 30.0),
        ("10.68s", 10.68),
        ("10h17m5.7s", 37_025.7),
        ("9h54m", 35_640.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("2 days", 2 * DAY),
        ("1 hour, 5 minutes and 3 seconds", 3903.0),
        ("3 Hours", 10_800.0),
        ("1 week", 7 * DAY),
        ("1w", 7 * DAY),
        ("1,800", 1800.0),
        ("1,800.5 seconds", 1800.5),
        ("1,8", None),
        ("2 weeks", None),  # longer than any window
        ("9 months", None),
        ("soon", None),
        ("", None),
        ("12 apples", None),
        ("1e9", None),
        (True, None),
        (None, None),
        (-1, None),
        (float("nan"), None),
        (9 * DAY, None),
        (10**400, None),
        (-(10**400), None),
    ],
)
def test_lengths_of_time(value: object, seconds: float | None):
    assert parse_duration(value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (NOW + 100, NOW + 100),
        (int(NOW + 100) * 1000, NOW + 100),
        (str(int(NOW + 100)), NOW + 100),
        (90, NOW + 90),
        ("1h", NOW + 3600),
        (NOW - 500, NOW - 500),  # already past: told as it is
        ("2026-04-23T16:00:00Z", at(2026, 4, 23, 16)),
        ("2026-04-23T16:00:00.5+02:00", at(2026, 4, 23, 14) + 0.5),
        ("2026-04-23 16:00:00 UTC", at(2026, 4, 23, 16)),
        ("2026-04-23 16:00:00 (Asia/Tokyo)", at(2026, 4, 23, 16, zone="Asia/Tokyo")),
        ("2026-04-23 16:00:00 (Atlantis/Capital)", None),
        ("Thu, 23 Apr 2026 16:00:00 GMT", at(2026, 4, 23, 16)),
        ("5:25pm (UTC)", at(2026, 4, 22, 17, 25)),
        ("7pm (Asia/Tokyo)", at(2026, 4, 23, 19, zone="Asia/Tokyo")),
        ("2:10pm (Europe/Moscow)", at(2026, 4, 23, 14, 10, zone="Europe/Moscow")),
        ("11:59am (UTC)", at(2026, 4, 22, 11, 59)),  # a minute ago is not tomorrow
        ("11:58am (UTC)", at(2026, 4, 23, 11, 58)),
        ("12am (UTC)", at(2026, 4, 23, 0)),
        ("12:30 pm UTC", at(2026, 4, 22, 12, 30)),
        ("Apr 23 at 4pm (America/Recife)", at(2026, 4, 23, 16, zone="America/Recife")),
        ("Apr 23rd, 2026 4:00 PM", at(2026, 4, 23, 16, zone="America/New_York")),
        ("5:14 PM", at(2026, 4, 22, 17, 14, zone="America/New_York")),
        ("19:30", at(2026, 4, 22, 19, 30, zone="America/New_York")),
        ("8:00 PM PST", at(2026, 4, 22, 20, zone="America/Los_Angeles")),
        ("7pm (Atlantis/Capital)", None),
        ("25:99pm", None),
        ("13pm", None),
        ("Feb 31 at 4pm", None),
        ("7", NOW + 7),
        ("tomorrow", None),
        ("2027-04-23T16:00:00Z", None),  # a year away: a misreading
        (True, None),
        (10**400, None),
        (-(10**400), None),
        (float("inf"), None),
    ],
)
def test_points_in_time(value: object, moment: float | None):
    assert parse_moment(value, NOW, local=ZoneInfo("America/New_York")) == moment


@pytest.mark.parametrize(
    ("day", "hour"),
    [((2026, 3, 8), 3), ((2026, 11, 1), 3)],
    ids=["an hour is missing", "an hour comes twice"],
)
def test_clock_times_on_the_days_on_which_clocks_change(day: tuple[int, int, int], hour: int):
    zone = ZoneInfo("America/Los_Angeles")
    now = datetime(*day, 0, 30, tzinfo=zone).timestamp()
    moment = parse_moment("3am (America/Los_Angeles)", now)
    assert moment == datetime(*day, hour, tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("message", "retry_after", "until"),
    [
        ("Please retry in 10.683510287s.", 10.683510287, None),
        ("Quota exceeded. Please retry in 10h17m5.7s.", 37_025.7, None),
        ("Attempt 1 failed. Retrying after 69519ms...", 69.519, None),
        ("Suggested retry after 60s.", 60.0, None),
        ("Please try again in 20s.", 20.0, None),
        ("Rate limit reached, wait 30 seconds", 30.0, None),
        ("retry-after: 7", 7.0, None),
        ("'retry-after': '7',", 7.0, None),
        ("retry-after: 7\nx-request-id: 12", 7.0, None),
        ("please retry after 60.", 60.0, None),
        ("usage limit reached, try again in 1 week", 7 * DAY, None),
        ("reset after 1,800 seconds", 1800.0, None),
        ("retry after 1,800", 1800.0, None),
        ("Retry-After: 2026-04-23T00:00:00Z", None, at(2026, 4, 23)),
        ("retry-after: Thu, 23 Apr 2026 07:28:00 GMT", None, at(2026, 4, 23, 7, 28)),
        ("resets at: 2026-04-23 00:00:00 UTC", None, at(2026, 4, 23)),
        ('"resets_at": 1776900000', None, 1_776_900_000.0),
        ('"retryDelay": "22s"', None, None),
        ("You've hit your limit · resets 5:25pm (UTC)", None, at(2026, 4, 22, 17, 25)),
        ("limit reached|1776900000", None, 1_776_900_000.0),
        (
            "Resets Apr 23 at 4pm (America/Recife)",
            None,
            at(2026, 4, 23, 16, zone="America/Recife"),
        ),
        ("try again at 2026-04-22T13:00:00Z", None, at(2026, 4, 22, 13)),
        ("resets in 2h", 7200.0, None),
        ("please try again after 5 pm (UTC)", None, at(2026, 4, 22, 17)),
        ("after retry 3 of 5", None, None),
        ("resets in 1 month", None, None),
        ("retry in 2 business days", None, None),
        ("retry after 10/12/2026", None, None),
        ("retry after 10.12.2026", None, None),
        ("retry in 30-60 seconds", None, None),
        ("retry in 30 - 60 seconds", None, None),
        ("retry after 10 000 seconds", None, None),
        ("retry after 3 attempts", None, None),
        ("retry-after: 00:05:00", None, None),
        ("the server is busy", None, None),
    ],
)
def test_the_usual_wordings(message: str, retry_after: float | None, until: float | None):
    waiting = find_waiting(message, NOW)
    assert waiting.retry_after == (None if retry_after is None else pytest.approx(retry_after))
    assert waiting.until == until


def test_a_local_clock_time_is_that_of_this_machine():
    waiting = find_waiting("You've hit your usage limit. Try again at 5:14 PM.", NOW)
    assert waiting.until is not None
    local = datetime.fromtimestamp(waiting.until).astimezone()
    assert (local.hour, local.minute) == (17, 14)
    assert NOW - 60 <= waiting.until <= NOW + DAY


def test_values_where_a_preset_points_may_be_numbers_or_words():
    assert read_waiting(3, None, NOW).retry_after == 3.0
    assert read_waiting("try again in 4s", None, NOW).retry_after == 4.0
    assert read_waiting(None, NOW + 5, NOW).until == NOW + 5
    date = "Wed, 22 Apr 2026 13:00:00 GMT"
    assert read_waiting(date, None, NOW).until == at(2026, 4, 22, 13)
    assert read_waiting("2026-04-22T13:00:00Z", None, NOW).until == at(2026, 4, 22, 13)
    assert not read_waiting("00:05:00", None, NOW)
    assert read_waiting(date, NOW + 5, NOW).until == NOW + 5
    assert read_waiting(None, "it resets 5:25pm (UTC)", NOW).until == at(2026, 4, 22, 17, 25)
    assert not read_waiting(None, None, NOW)
    assert not read_waiting({"a": 1}, ["b"], NOW)


JUNK = st.one_of(
    st.text(),
    st.text("0123456789:.-+TZapm ()hsd,Apr|", max_size=40),
    st.floats(),
    st.integers(),
    st.integers(10**300, 10**400),
    st.booleans(),
    st.none(),
    st.lists(st.integers()),
)


@given(JUNK, st.floats(0, 4e9))
def test_no_text_breaks_the_parsers_and_no_answer_is_out_of_range(value: object, now: float):
    seconds, moment = parse_duration(value), parse_moment(value, now)
    assert seconds is None or 0 <= seconds <= LONGEST
    assert moment is None or moment <= now + LONGEST
    find_waiting(str(value), now)
    read_waiting(value, value, now)


@given(
    st.integers(0, 150), st.integers(0, 59), st.integers(0, 59), st.sampled_from(["", " ", ", "])
)
def test_written_lengths_are_read_back(hours: int, minutes: int, seconds: int, gap: str):
    text = f"{hours}h{gap}{minutes}m{gap}{seconds}s"
    assert parse_duration(text) == hours * 3600 + minutes * 60 + seconds


@given(
    st.integers(int(NOW), int(NOW + 7 * DAY)),
    st.sampled_from(["UTC", "Asia/Tokyo", "America/Recife"]),
)
def test_written_clock_times_are_read_back_within_a_day(moment: int, zone: str):
    written = datetime.fromtimestamp(moment, ZoneInfo(zone))
    text = written.strftime("%I:%M:%S %p").lower() + f" ({zone})"
    read = parse_moment(text, NOW)
    assert read is not None
    assert NOW - 60 <= read <= NOW + DAY
    assert (read - moment) % DAY == 0
