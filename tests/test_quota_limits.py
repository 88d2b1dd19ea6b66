"""What ``quota_limits`` means: limits with units, every problem at once, each with its path."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.errors import ConfigError
from leyline.limits import DailyReset, Limit, Measure
from leyline.quota_limits import QuotaLimits, read_quota_limits
from leyline.services import from_mapping

DAY = 86_400.0


def read(**given: Any) -> QuotaLimits:
    value, problems = read_quota_limits(given)
    assert problems == []
    return value


def problems(**given: Any) -> dict[str, str]:
    _, found = read_quota_limits(given)
    assert len(dict(found)) == len(found)
    return dict(found)


def test_nothing_said_means_no_limit():
    assert read() == QuotaLimits(limits=(), concurrent=None, burst=None, pool=None, dry_run=False)


def test_the_named_limits_count_requests_and_tokens_of_a_minute_and_a_day():
    assert read(rpm=60, rpd=1000, tpm=1e6, tpd=2_000_000).limits == (
        Limit(name="rpm", measure=Measure.REQUESTS, amount=60, per=60.0),
        Limit(name="rpd", measure=Measure.REQUESTS, amount=1000, per=DAY),
        Limit(name="tpm", measure=Measure.TOKENS, amount=1_000_000, per=60.0),
        Limit(name="tpd", measure=Measure.TOKENS, amount=2_000_000, per=DAY),
    )


def test_daily_is_rpd_under_the_name_that_was_given():
    (limit,) = read(daily=1000).limits
    assert (limit.name, limit.measure, limit.per) == ("rpd", Measure.REQUESTS, DAY)


def test_whole_numbers_may_be_written_as_floats():
    value = read(rpm=60.0, concurrent=4.0, burst=2.0)
    assert [value.limits[0].amount, value.concurrent, value.burst] == [60, 4, 2]
    assert all(type(n) is int for n in (value.limits[0].amount, value.concurrent, value.burst))


@pytest.mark.parametrize(
    ("measure", "per", "seconds", "name"),
    [
        ("requests", 10, 10.0, "requests per 10s"),
        ("requests", "2s", 2.0, "requests per 2s"),
        ("tokens", "15m", 900.0, "tokens per 15m"),
        ("requests", "5h", 18_000.0, "requests per 5h"),
        ("input_tokens", "7d", 604_800.0, "input_tokens per 7d"),
        ("output_tokens", 604_800, 604_800.0, "output_tokens per 7d"),
        ("requests", "300m", 18_000.0, "requests per 5h"),
        ("requests", "1.5h", 5400.0, "requests per 90m"),
        ("requests", 0.5, 0.5, "requests per 0.5s"),
    ],
)
def test_a_window_has_a_measure_and_seconds_or_a_unit(
    measure: str, per: Any, seconds: float, name: str
):
    assert read(windows=[{measure: 5e2, "per": per}]).limits == (
        Limit(name=name, measure=Measure(measure), amount=500, per=seconds),
    )


def test_windows_stand_beside_the_named_limits():
    value = read(rpm=60, windows=({"requests": 500, "per": "5h"}, {"tokens": 1e6, "per": "5h"}))
    assert [limit.name for limit in value.limits] == [
        "rpm", "requests per 5h", "tokens per 5h",
    ]  # fmt: skip


def test_a_reset_makes_calendar_days_of_the_limits_of_a_day_and_of_no_other():
    value = read(
        rpm=1, daily=1, tpm=1, tpd=1,
        windows=[{"input_tokens": 1, "per": "24h"}, {"requests": 1, "per": "7d"}],
        reset={"zone": "America/Los_Angeles", "hour": 3},
    )  # fmt: skip
    reset = DailyReset(zone="America/Los_Angeles", hour=3)
    assert {limit.name: limit.reset for limit in value.limits} == {
        "rpm": None, "rpd": reset, "tpm": None, "tpd": reset,
        "input_tokens per 1d": reset, "requests per 7d": None,
    }  # fmt: skip


def test_a_day_begins_at_midnight_utc_where_nothing_else_is_said():
    assert read(daily=1, reset={}).limits[0].reset == DailyReset(zone="UTC", hour=0)


def test_the_guard_belongs_to_every_limit():
    value = read(rpm=1, windows=[{"requests": 5, "per": 2}], guard=0.25)
    assert [limit.guard for limit in value.limits] == [0.25, 0.25]


def test_what_is_no_limit_is_read_too():
    value = read(concurrent=4, burst=3, pool="google account", dry_run=True)
    assert value == QuotaLimits(concurrent=4, burst=3, pool="google account", dry_run=True)


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ({"rpm": "sixty"}, ".rpm", 'expected a positive number, got "sixty"'),
        ({"rpm": None}, ".rpm", "expected a positive number, got nothing"),
        ({"tpm": 0}, ".tpm", "expected a positive number, got 0"),
        ({"tpd": 0.5}, ".tpd", "expected a whole number, got 0.5"),
        ({"rpm": 10**30}, ".rpm", "expected a positive number, got a number that is too large"),
        ({"rpd": 1, "daily": 1}, ".daily", "is another name for rpd; give only one of them"),
        ({"concurrent": True}, ".concurrent", "expected a positive number, got true"),
        ({"burst": 0}, ".burst", "expected a positive number, got 0"),
        ({"burst": 1.5}, ".burst", "expected a whole number, got 1.5"),
        ({"guard": -1}, ".guard", "expected seconds, zero or more; got -1"),
        ({"guard": "2s"}, ".guard", 'expected seconds, zero or more; got "2s"'),
        ({"pool": " "}, ".pool", 'expected a name, got " "'),
        ({"pool": "a\nb"}, ".pool", r'expected a name, got "a\nb"'),
        ({"dry_run": "yes"}, ".dry_run", 'expected true or false, got "yes"'),
        ({"concurent": 1}, ".concurent", 'unknown limit; did you mean "concurrent"?'),
        ({"a b": 1}, '."a b"', "unknown limit; known: rpm, rpd, daily, tpm, tpd, concurrent, "),
        ({"windows": {"requests": 1}}, ".windows", "expected a list, got a mapping"),
        ({"windows": ["5h"]}, ".windows[0]", 'expected a mapping, got "5h"'),
        ({"windows": [{"requests": 1}]}, ".windows[0].per", "is missing; give seconds, or text"),
        ({"windows": [{"per": 1}]}, ".windows[0]", "expected exactly one of requests, tokens, "),
        (
            {"windows": [{"requests": 1, "tokens": 1, "per": 1}]},
            ".windows[0]",
            "output_tokens; got requests and tokens",
        ),
        (
            {"windows": [{"requests": 1, "per": 1, "pre": 1}]},
            ".windows[0].pre",
            'unknown key; did you mean "per"?',
        ),
        (
            {"windows": [{"requests": 1, "per": "5h"}, {"requests": 2, "per": 18_000}]},
            ".windows[1]",
            '"requests per 5h" is given above; give only one of them',
        ),
        (
            {"windows": [{"requests": -1, "per": 1}]},
            ".windows[0].requests",
            "expected a positive number, got -1",
        ),
        ({"reset": "midnight"}, ".reset", 'expected a mapping, got "midnight"'),
        ({"reset": {"hour": 24}}, ".reset.hour", "expected a whole number from 0 to 23, got 24"),
        ({"reset": {"hour": 0.5}}, ".reset.hour", "expected a whole number from 0 to 23, got 0.5"),
        ({"reset": {"hours": 5}}, ".reset.hours", 'unknown key; did you mean "hour"?'),
        (
            {"reset": {"zone": "America/Los_Angelos"}},
            ".reset.zone",
            'unknown time zone "America/Los_Angelos"; did you mean "America/Los_Angeles"?',
        ),
        ({"reset": {"zone": "/etc/passwd"}}, ".reset.zone", "expected a time zone such as Amer"),
        ({"reset": {"zone": ""}}, ".reset.zone", 'or UTC, got ""'),
        ({"reset": {"zone": 5}}, ".reset.zone", "or UTC, got 5"),
    ],
)
def test_a_wrong_value_says_where_and_what_was_expected(
    given: dict[str, Any], path: str, words: str
):
    ((at, said),) = problems(**given).items()
    assert at == path
    assert words in said


@pytest.mark.parametrize(
    "per", [0, -1, "", "5", "h", "5 h", "-5h", "5w", "5H", "٣h", "1e3s", True, None, float("inf")]
)
def test_what_is_no_duration_is_refused(per: Any):
    found = problems(windows=[{"requests": 1, "per": per}])
    assert list(found) == [".windows[0].per"]
    assert found[".windows[0].per"].startswith('expected seconds or text such as "2s", "15m"')


def test_every_problem_is_reported_at_once_and_the_rest_is_read():
    value, found = read_quota_limits(
        {
            "rpm": 60,
            "tpm": "x",
            "rpmm": 1,
            "windows": [{"requests": 0, "per": "5w"}, {"tokens": 5, "per": "1m"}, 3],
            "reset": {"zone": "Mars", "hour": 99},
            "burst": -1,
            "concurrent": 2,
        }
    )
    assert sorted(path for path, _ in found) == [
        ".burst", ".reset.hour", ".reset.zone", ".rpmm", ".tpm",
        ".windows[0].per", ".windows[0].requests", ".windows[2]",
    ]  # fmt: skip
    assert [limit.name for limit in value.limits] == ["rpm", "tokens per 1m"]
    assert value.concurrent == 2


def test_a_configuration_takes_all_of_it_and_keeps_it_as_it_was_said():
    said = {
        "rpm": 60, "windows": [{"requests": 500, "per": "5h"}], "guard": 1,
        "reset": {"zone": "Asia/Tokyo"}, "pool": "us", "burst": 2, "dry_run": False,
    }  # fmt: skip
    config = from_mapping({"x": {"command": "x", "quota_limits": said}})["x"]
    assert config.quota_limits == said


def test_a_configuration_says_where_in_it_a_window_is_wrong():
    limits = {"windows": [{"requests": 1, "per": "5h"}, {"requests": 1, "per": "soon"}]}
    with pytest.raises(ConfigError) as caught:
        from_mapping({"x": {"command": "x", "quota_limits": limits}})
    (problem,) = caught.value.problems
    assert problem.startswith("services.x.quota_limits.windows[1].per: expected seconds or text")


_KEYS = st.sampled_from(
    ["rpm", "rpd", "daily", "tpm", "tpd", "concurrent", "windows", "reset", "burst", "guard",
     "pool", "dry_run", "requests", "tokens", "input_tokens", "output_tokens", "per", "zone",
     "hour"]
)  # fmt: skip
_DURATIONS = st.from_regex(r"[0-9]{1,400}(\.[0-9]{1,9})?[smhd]", fullmatch=True)
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.dates() | _DURATIONS | st.sampled_from(["UTC", "Asia/Tokyo", "America", "../UTC", "5h"])
)  # fmt: skip
_JUNK = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS | st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(st.dictionaries(_KEYS | st.text(), _JUNK))
def test_junk_gives_a_value_and_problems_with_paths_never_an_exception(given: dict[str, Any]):
    value, found = read_quota_limits(given)
    assert len({limit.name for limit in value.limits}) == len(value.limits)
    for path, words in found:
        assert path.startswith(".")
        assert f"{path}{words}".isprintable()
        assert len(path) < 200
        assert len(words) < 300


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(Measure), st.integers(1, 10**9)),
        st.integers(1, 2**63 - 1),
        max_size=5,
    )
)
def test_what_is_right_comes_back_limit_for_limit(windows: dict[tuple[Measure, int], int]):
    said = [{str(m): amount, "per": per} for (m, per), amount in windows.items()]
    value = read(windows=json.loads(json.dumps(said)))
    found = {(limit.measure, limit.per): limit.amount for limit in value.limits}
    assert found == windows
