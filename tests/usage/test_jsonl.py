"""Lines of JSON: the seed's keys, one write a line, and torn lines passed over."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.errors import UsageStoreError
from leyline.usage import jsonl
from leyline.usage.book import GroupBy, UsageBook
from leyline.usage.jsonl import JsonlSink, line_of, read_records, record_of
from leyline.usage.sessions import GAP
from tests.usage.records import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.jsonl"


def test_a_line_has_the_keys_of_the_seed_and_the_rest_inside_metadata(path: Path):
    JsonlSink(path).write([record(at=0.5, session="s", total_tokens=7, model="m", duration=1.5)])
    line = json.loads(path.read_text())
    metadata = line.pop("metadata")
    assert line == {
        "timestamp": "1970-01-01T00:00:00.500000+00:00", "session_id": "s", "service": "svc",
        "operation": "execute", "tokens": 7, "success": True, "duration_seconds": 1.5,
    }  # fmt: skip
    assert metadata["model"] == "m"
    assert "cost_usd" not in metadata  # unknown is not zero


def test_there_is_exactly_one_write_a_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[bytes] = []
    write = os.write
    monkeypatch.setattr(jsonl.os, "write", lambda f, data: written.append(data) or write(f, data))
    JsonlSink(path).write([record(), record(prompt="a\nb")])
    assert len(written) == 2
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in written)


@given(
    st.builds(
        record,
        at=st.integers(0, 2**31).map(float),
        session=st.text(),
        service=st.text(),
        model=st.none() | st.text(min_size=1),
        prompt=st.none() | st.text(min_size=1),
        total_tokens=st.integers(0, 10**9),
        cost_usd=st.none() | st.floats(0, 1e6),
        success=st.booleans(),
        refused=st.booleans(),
        failure=st.text(),
        metadata=st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
    )
)
def test_what_is_read_is_what_was_written(given_record):
    line = line_of(given_record)
    assert line.count("\n") == 1
    assert record_of(line) == given_record


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "null", '{"service": "a"}', '{"timestamp": "no", "service": "a"}', "\xff"],
)
def test_a_line_that_is_no_record_is_passed_over(path: Path, line: str):
    good = line_of(record())
    path.write_bytes(good.encode() + line.encode("latin-1") + b"\n" + good.encode())
    assert len(list(read_records(path))) == 2


BEYOND_ALL_BOUNDS = [
    {"tokens": float("inf")},
    {"tokens": 1e30},
    {"tokens": -(2**63)},
    {"timestamp": float("nan")},
    {"timestamp": 1e18},
    {"timestamp": "9999-12-31T23:59:59+00:00"},
    {"duration_seconds": 10**400},
    {"duration_seconds": float("inf")},
    {"metadata": {"cost_usd": 10**400}},
    {"metadata": {"queued": float("nan")}},
]


def a_line(**facts) -> bytes:
    """One of another program."""
    usual = {"timestamp": 1000.0, "service": "z", "success": True, "session_id": ""}
    return json.dumps({**usual, **facts}).encode()


@pytest.mark.parametrize(
    "line",
    [*(a_line(**facts) for facts in BEYOND_ALL_BOUNDS), b"[" * 100_000],
    ids=lambda line: line.decode()[:60],
)
def test_a_line_beyond_all_bounds_spoils_neither_sums_nor_what_is_written_next(
    path: Path, line: bytes
):
    JsonlSink(path).write([record(at=1000.0, service="a")])
    with path.open("ab") as file:
        file.write(line + b"\n")
    JsonlSink(path).write([record(at=1001.0, service="b")])
    with UsageBook.open(path) as book:
        for by in GroupBy:
            assert sum(summary.runs for summary in book.summaries(by)) == 2
        assert len({r.session for r in book.records()}) == 1


def test_half_a_character_in_a_line_spoils_no_sums(path: Path):
    half = "\ud800"
    metadata = {"model": half, "call": half, "prompt_sha256": half, "failure": half}
    path.write_bytes(
        a_line(session_id=half, service=half, operation=half, metadata=metadata) + b"\n"
    )
    with UsageBook.open(path) as book:
        assert [summary.key for summary in book.summaries(GroupBy.SESSION)] == ["?"]
        assert len(list(book.records())) == 1


def test_lines_of_other_programs_with_the_outer_keys_alone_are_read():
    line = {"timestamp": "2026-01-01T00:00:00+00:00", "session_id": "x", "service": "a",
            "operation": "chat", "tokens": 5, "success": True, "duration_seconds": 1,
            "metadata": {"model": 3, "colour": "red"}}  # fmt: skip
    found = record_of(json.dumps(line))
    assert found is not None
    assert (found.session, found.total_tokens, found.requests, found.model) == ("x", 5, 1, None)
    assert found.metadata == {"model": 3, "colour": "red"}


def test_a_line_that_a_crash_tore_is_ended_before_the_next(path: Path):
    path.write_text(line_of(record(service="a")) + '{"timestamp": "20')
    JsonlSink(path).write([record(service="b"), record(service="c")])
    assert [r.service for r in read_records(path)] == ["a", "b", "c"]


def test_a_full_disk_in_the_middle_says_how_many_were_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    write, room = os.write, [2]

    def full(file: int, data: bytes) -> int:
        room[0] -= 1
        if room[0] == 0:
            return write(file, data[:20])
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(jsonl.os, "write", full)
    sink, records = JsonlSink(path), [record(call=f"{n}") for n in range(3)]
    assert sink.write(records) == 1
    with pytest.raises(UsageStoreError, match="No space left"):
        sink.write(records[1:])
    monkeypatch.undo()
    assert sink.write(records[1:]) == 2
    assert [r.call for r in read_records(path)] == ["0", "1", "2"]


def test_two_programs_within_an_hour_share_a_session(path: Path):
    JsonlSink(path).write([record(at=1000.0), record(at=1001.0, session="named")])
    sink = JsonlSink(path)
    sink.write([record(at=1000.0 + GAP - 1)])
    JsonlSink(path).write([record(at=1000.0 + 2 * GAP - 2)])
    sink.write([record(at=1000.0 + 3 * GAP - 3)])  # kept alive by the other
    sink.write([record(at=1000.0 + 9 * GAP)])
    first, named, *others, last = (r.session for r in read_records(path))
    assert named == "named"
    assert set(others) == {first}
    assert last not in {first, named}


def test_a_file_that_is_moved_away_is_begun_anew(path: Path):
    sink = JsonlSink(path)
    sink.write([record(service="a")])
    path.rename(path.with_suffix(".old"))
    sink.write([record(service="b")])
    assert [r.service for r in read_records(path)] == ["b"]


def test_a_file_that_cannot_be_opened_is_an_error_of_the_store(tmp_path: Path):
    with pytest.raises(UsageStoreError, match="cannot be read or written"):
        JsonlSink(tmp_path).write([record()])
    with pytest.raises(UsageStoreError):
        list(read_records(tmp_path))
