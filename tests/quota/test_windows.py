"""The sliding log and the count of days, against plain lists of what was entered."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyline.limits import DailyReset
from leyline.quota.windows import BUCKETS, DayLog, SlidingLog, slack

SPAN = 64.0  # buckets of half a second
EPS = 1e-6


def counting(name: str) -> Any:
    def method(self: "Counted", *args: Any) -> Any:
        self.work += 1
        return getattr(dict, name)(self, *args)

    return method


class Counted(dict[int, int]):
    """A dictionary that counts how often it is touched, and the items that are read in a row."""

    work = 0
    __contains__ = counting("__contains__")
    __getitem__ = counting("__getitem__")
    __setitem__ = counting("__setitem__")
    __delitem__ = counting("__delitem__")
    get = counting("get")
    pop = counting("pop")

    def items(self) -> Iterator[tuple[int, int]]:
        for item in super().items():
            self.work += 1
            yield item


def filled(entries: list[tuple[float, int]], span: float = SPAN) -> SlidingLog:
    log = SlidingLog(span)
    for at, weight in entries:
        log.add(weight, at)
    return log


def reloaded(log: SlidingLog) -> SlidingLog:
    return SlidingLog.load(json.loads(json.dumps(log.dump())))


entries = st.lists(st.tuples(st.floats(0, 500), st.integers(0, 1_000_000)), max_size=40).map(sorted)


@given(entries=entries, now=st.floats(0, 700))
def test_an_entry_counts_for_its_span_and_less_than_two_buckets_more(
    entries: list[tuple[float, int]], now: float
):
    log = filled(entries)
    must = sum(weight for at, weight in entries if at + SPAN > now + EPS)
    may = sum(weight for at, weight in entries if at + SPAN + 2 * log.width > now)
    assert must <= log.taken(now) <= may
    before = log.taken(now)
    later = sum(weight for at, weight in entries if at > now + log.width)
    assert later <= log.waiting(now) <= sum(weight for at, weight in entries if at > now)
    log.forget(now)
    assert log.taken(now) == before
    assert reloaded(log) == log


@given(entries=entries, weight=st.integers(0, 1_200_000), start=st.floats(500, 700))
def test_the_earliest_start_fits_and_nothing_before_it_does(
    entries: list[tuple[float, int]], weight: int, start: float
):
    log, amount = filled(entries), 1_000_000
    earliest = log.earliest(weight, amount, start)
    if weight > amount:
        assert math.isinf(earliest)
        return
    assert earliest >= start
    assert log.taken(earliest) + weight <= amount
    if earliest > start:
        assert log.taken(math.nextafter(earliest, 0)) + weight > amount
        assert earliest <= start + SPAN + 2 * log.width


def load(entries: list[tuple[float, int]], since: float, until: float) -> int:
    return sum(weight for at, weight in entries if since < at <= until)


moments = st.integers(0, 800).map(lambda quarters: quarters / 4)
close_together = st.lists(st.tuples(moments, st.integers(1, 3)), max_size=60).map(sorted)


@settings(max_examples=1000)
@given(entries=close_together, amount=st.integers(3, 40), weight=st.integers(0, 5), at=moments)
def test_there_is_room_before_later_entries_where_no_window_gets_too_full(
    entries: list[tuple[float, int]], amount: int, weight: int, at: float
):
    log = filled(entries)
    moments = [at, *(other for other, _ in entries if at < other < at + SPAN + 2 * log.width)]
    fullest = max(load(entries, moment - SPAN, moment) for moment in moments if moment < at + SPAN)
    if log.has_room(weight, amount, at):
        assert fullest + weight <= amount
    else:
        wider = [
            load(entries, moment - SPAN - 2 * log.width, moment + log.width) for moment in moments
        ]
        assert max(wider) + weight > amount


def test_who_waited_for_room_finds_it_however_floats_are_rounded():
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    for _ in range(5000):
        now = random.uniform(0, 2e9)
        log = filled([(now, 1)], random.uniform(0.5, 1000))
        assert log.has_room(1, 1, log.earliest(1, 1, now))


@pytest.mark.parametrize("weight", [1, 7, 999_999, 1_000_000])
def test_what_is_entered_is_counted_exactly(weight: int):
    log = filled([(0.0, weight)])
    assert log.taken(1.0) == weight
    assert log.earliest(1_000_000 - weight, 1_000_000, 1.0) == 1.0
    if weight < 1_000_000:
        assert log.earliest(1_000_001 - weight, 1_000_000, 1.0) == pytest.approx(SPAN + log.width)


@pytest.mark.parametrize("buckets", [0, 1, 64, BUCKETS])
def test_the_largest_entry_costs_what_the_smallest_costs(buckets: int):
    work: list[int] = []
    for weight in (1, 1_000_000 - buckets):
        log = filled([(k * SPAN / BUCKETS, 1) for k in range(buckets)])
        counted = log._buckets = Counted(log._buckets)
        now = buckets * SPAN / BUCKETS
        assert log.earliest(weight, 1_000_000, now) == now
        log.add(weight, now)
        log.forget(now)
        assert log._buckets is counted
        work.append(counted.work)
    assert work[0] == work[1] < 6


def test_waiting_for_room_reads_each_bucket_at_most_once():
    log = filled([(k * SPAN / BUCKETS, 1000) for k in range(BUCKETS)])
    counted = log._buckets = Counted(log._buckets)
    assert log.earliest(BUCKETS * 1000, BUCKETS * 1000, SPAN) > SPAN
    assert counted.work <= BUCKETS + 1


def test_what_is_given_back_is_taken_where_it_was_entered():
    log = filled([(0.0, 30), (10.0, 40), (20.0, 50)])
    log.change(log.add(5, 20.1), -5)
    log.change(20, -40)  # the bucket of second ten
    assert log.taken(20.0) == 80
    assert log.frees_at(20.0) == pytest.approx(SPAN + log.width)
    log.change(0, -30)
    assert log.frees_at(20.0) == pytest.approx(20.5 + SPAN)
    log.change(40, -1000)
    assert log.taken(20.0) == 0
    assert log.frees_at(20.0) is None


def test_an_entry_of_nothing_can_still_be_corrected():
    log = filled([(0.0, 10), (5.0, 0), (9.0, 10)])
    log.change(10, 7)  # the bucket of second five
    assert log.taken(9.0) == 27
    assert log.earliest(17, 27, 9.0) == pytest.approx(
        5.5 + SPAN
    )  # the second leaves after the first
    assert reloaded(log) == log


def test_what_was_forgotten_does_not_come_back_by_a_late_correction():
    log = filled([(0.0, 10)])
    log.forget(2 * SPAN)
    log.change(0, -10)
    assert log.taken(2 * SPAN) == 0
    log.change(0, 5)
    assert log.taken(2 * SPAN) == 0
    log.add(3, 2 * SPAN)
    log.forget(2 * SPAN)
    assert log.taken(2 * SPAN) == 3


def written_bytes(log: SlidingLog) -> int:
    return len(json.dumps(log.dump(), separators=(",", ":")))


@pytest.mark.parametrize("epoch", [0.0, 1.8e9])
def test_a_limit_is_written_in_less_than_two_kilobytes(epoch: float):
    full = filled([(epoch + k * 60.05 / BUCKETS / 4, 9_999_999) for k in range(2000)], 60.05)
    full.forget(epoch + 1999 * 60.05 / BUCKETS / 4)
    assert len(full._buckets) >= BUCKETS
    assert written_bytes(full) < 2000


def test_no_pattern_of_starts_makes_it_larger():
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    log, now, largest = SlidingLog(60.05), 1.8e9, 0
    for _ in range(20_000):
        now += random.choice(
            [0.0, random.random(), log.width, 0.999 * log.width, 60 * random.random()]
        )
        log.forget(now)
        k = log.add(random.randint(1, 9_999_999), now)
        if random.random() < 0.3:
            log.change(k - random.randint(0, 2 * BUCKETS), random.randint(-9_999_999, 9_999_999))
        log.forget(now)
        largest = max(largest, written_bytes(log))
    assert largest < 2000


@given(
    entries=entries,
    at=st.floats(500, 600),
    reserved=st.integers(1, 1_000_000),
    span=st.floats(0.5, 500),
    by=st.floats(-400, 400),
)
def test_no_entry_counts_shorter_after_a_move(
    entries: list[tuple[float, int]], at: float, reserved: int, span: float, by: float
):
    log = filled(entries)
    k = log.add(reserved, at)
    entries = [*entries, (at, reserved)]
    total = log.taken(-math.inf)
    moved = log.move(span=span, by=by)
    assert log.taken(-math.inf) == total
    for last in (0.0, *(at for at, _ in entries)):
        moment = last + by + span - EPS  # when that one still counts
        must = sum(weight for at, weight in entries if at + by + span > moment + EPS / 2)
        assert log.taken(moment) >= must
    log.change(moved(k), -reserved)  # a booking finds its entry again
    assert log.taken(-math.inf) == total - reserved


def test_two_who_share_a_log_do_not_move_it_to_and_fro():
    log = filled([(0.0, 1)])
    assert log.takes(SPAN + 2)
    log.move(span=SPAN + 2, by=0.0)
    assert not log.takes(SPAN)
    assert not log.takes(SPAN + 2)
    log.forget(1000.0)
    assert log.takes(SPAN)


@pytest.mark.parametrize(
    ("per", "expected"),
    [(0.001, 0.002), (1.0, 0.01), (60.0, 0.05), (86_400.0, 0.05), (math.inf, 0.05)],
)
def test_starts_may_be_late_by_a_hundredth_of_the_window_within_bounds(per: float, expected: float):
    assert slack(per) == expected


NOON = datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()
MIDNIGHT = NOON + 12 * 3600
TODAY = date(2026, 5, 4).toordinal()
DAY = 86_400.0


def fits(log: DayLog, weight: int, at: float, late: float = 0.05) -> float:
    return log.earliest(weight, 10, at, reset=DailyReset(), late=late)


def test_a_full_day_waits_for_the_next_one_with_room():
    log = DayLog.load([(TODAY, 8), (TODAY + 1, 10), (TODAY + 2, 9)])
    assert fits(log, 2, NOON) == NOON
    assert fits(log, 3, NOON) == MIDNIGHT + 2 * DAY
    assert fits(log, 1, MIDNIGHT) == MIDNIGHT + DAY
    assert math.isinf(fits(log, 11, NOON))


def test_nothing_starts_where_a_late_start_would_count_for_the_next_day():
    assert fits(DayLog(), 1, MIDNIGHT - 1.0) == MIDNIGHT - 1.0
    assert fits(DayLog(), 1, MIDNIGHT - 1.0, late=2.0) == MIDNIGHT


def test_days_long_over_are_forgotten_and_booked_ones_never():
    log = DayLog({TODAY + k: 1 for k in range(-9, 20)})
    log.forget(TODAY)
    assert [day - TODAY for day, _ in log.dump()] == list(range(-3, 20))
    assert DayLog.load(json.loads(json.dumps(log.dump()))) == log
