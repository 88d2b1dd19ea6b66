"""Sums: by service, model, day and session; costs that are known, estimated and unknown."""

import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.errors import UsageStoreError
from leyline.usage import price
from leyline.usage.book import GroupBy, UsageBook
from leyline.usage.jsonl import JsonlSink
from leyline.usage.sqlite import SqliteSink
from leyline.usage.summary import UsageFilter
from tests.usage.records import record

RECORDS = [
    record(at=10.0, session="s", service="a", model="gpt-5", measured=True, input_tokens=100,
           output_tokens=10, total_tokens=110, duration=2.0),
    record(at=20.0, session="s", service="a", cost_usd=0.25, total_tokens=5, requests=3),
    record(at=30.0, session="t", service="b", success=False, failure="timeout"),
    record(at=40.0, session="t", service="b", success=False, refused=True,
           failure="quota_exceeded", requests=0, cost_usd=0.0),
    record(at=50.0, session="t", service="b", success=False, failure="timeout"),
]  # fmt: skip


@pytest.fixture(params=["u.db", "u.jsonl", None])
def book(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param is None:
        made = UsageBook.of(RECORDS)
    else:
        path = tmp_path / request.param
        sink = JsonlSink(path) if path.suffix == ".jsonl" else SqliteSink(path)
        sink.write(RECORDS)
        made = UsageBook.open(path)
    with made:
        yield made


def test_a_service_is_charged_for_what_it_ran(book: UsageBook):
    a, b = book.summaries()
    assert (a.key, a.runs, a.succeeded, a.failed, a.refused) == ("a", 2, 2, 0, 0)
    assert (a.requests, a.input_tokens, a.output_tokens, a.total_tokens) == (4, 100, 10, 115)
    assert (a.seconds, a.first_at, a.last_at) == (2.0, 10.0, 20.0)
    assert (b.key, b.runs, b.succeeded, b.failed, b.refused) == ("b", 2, 0, 2, 1)


def test_costs_are_told_apart_as_reported_estimated_and_unknown(book: UsageBook):
    a, b = book.summaries()
    estimated = price("gpt-5", 100, 10)
    assert estimated is not None
    assert a.cost_usd == pytest.approx(0.25 + estimated)
    assert a.estimated_usd == pytest.approx(estimated)
    assert a.cost_unknown == 0
    assert (b.cost_usd, b.estimated_usd, b.cost_unknown) == (None, 0.0, 2)


def test_tokens_that_were_estimated_have_no_price():
    given = record(model="gpt-5", input_tokens=100, output_tokens=10, measured=False)
    with UsageBook.of([given]) as book:
        assert (book.total().cost_usd, book.total().cost_unknown) == (None, 1)


def test_a_book_is_of_one_moment_whoever_writes_meanwhile(tmp_path: Path):
    sink = SqliteSink(tmp_path / "u.db")
    sink.write(RECORDS)
    with UsageBook.open(tmp_path / "u.db") as book:
        before = book.total()
        sink.write(RECORDS)
        assert book.total() == before
    with UsageBook.open(tmp_path / "u.db") as book:
        assert book.total().runs == 2 * before.runs


def test_the_total_is_that_of_all(book: UsageBook):
    total = book.total()
    assert (total.runs, total.refused, total.total_tokens, total.cost_unknown) == (4, 1, 115, 2)


def test_what_failed_is_counted_by_kind_the_most_frequent_first(book: UsageBook):
    found = [(f.service, f.failure, f.refused, f.count, f.last_at) for f in book.failures()]
    assert found == [("b", "timeout", False, 2, 50.0), ("b", "quota_exceeded", True, 1, 40.0)]


def test_models_and_sessions_are_added_up_too(book: UsageBook):
    assert [(s.key, s.runs) for s in book.summaries(GroupBy.MODEL)] == [("", 3), ("gpt-5", 1)]
    assert [(s.key, s.runs) for s in book.summaries(GroupBy.SESSION)] == [("s", 2), ("t", 2)]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (UsageFilter(since=20.0), 4),
        (UsageFilter(until=20.0), 1),
        (UsageFilter(since=20.0, until=50.0), 3),
        (UsageFilter(service="b"), 3),
        (UsageFilter(service="b' OR 1 --"), 0),
        (UsageFilter(session="s"), 2),
    ],
)
def test_only_what_was_asked_for_counts(book: UsageBook, where: UsageFilter, count: int):
    assert len(list(book.records(where))) == count
    assert book.total(where).runs + book.total(where).refused == count
    assert len(list(book.samples(where))) == count


def test_an_empty_book_has_spent_nothing(tmp_path: Path):
    with UsageBook.open(tmp_path / "none.db") as book:
        total = book.total()
        assert (total.runs, total.cost_usd, total.first_at) == (0, None, None)
        assert (book.summaries(), book.failures(), list(book.samples())) == ([], [], [])


def test_a_name_that_no_file_can_have_is_an_error_of_the_store(tmp_path: Path):
    for ending in ("db", "jsonl"):
        with pytest.raises(UsageStoreError, match="too long"):
            UsageBook.open(tmp_path / f"{'n' * 300}.{ending}")


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_a_day_is_one_of_the_users_own_zone(zone: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        midnight = datetime(2026, 3, 5).timestamp()  # noqa: DTZ001  (that is what is tested)
        with UsageBook.of([record(at=midnight - 1), record(at=midnight)]) as book:
            assert [s.key for s in book.summaries(GroupBy.DAY)] == ["2026-03-04", "2026-03-05"]
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.lists(st.builds(
    record,
    service=st.sampled_from("abc"),
    total_tokens=st.integers(0, 10**9),
    cost_usd=st.none() | st.integers(0, 10**6).map(float),
    success=st.booleans(),
)))  # fmt: skip
def test_the_sums_are_those_of_the_records(records):
    with UsageBook.of(records) as book:
        summaries, total = book.summaries(), book.total()
    assert total.runs == sum(s.runs for s in summaries) == len(records)
    assert total.total_tokens == sum(r.total_tokens for r in records)
    assert total.cost_unknown == sum(r.cost_usd is None for r in records)
    known = [r.cost_usd for r in records if r.cost_usd is not None]
    assert total.cost_usd == (sum(known) if known else None)
    assert total.succeeded == sum(r.success for r in records)
