"""The SQLite file: whole batches, sessions for all processes, and care with files not ours."""

import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from leyline.errors import UsageStoreError
from leyline.usage.book import UsageBook
from leyline.usage.sessions import GAP
from leyline.usage.sqlite import SqliteSink
from leyline.usage.table import SCHEMA
from tests.usage.records import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "usage.sqlite3"


def read(path: Path):
    with UsageBook.open(path) as book:
        return list(book.records())


def test_what_is_read_is_what_was_written(path: Path):
    given = record(
        session="s", model="m", operation="race", input_tokens=1, cached_tokens=2,
        output_tokens=3, reasoning_tokens=4, total_tokens=5, requests=6, measured=True,
        cost_usd=0.1, cost_estimated=True, success=False, refused=True, failure="auth",
        duration=1.5, queued=2.5, attempt=7, call="c", prompt_sha256="ab", prompt_bytes=8,
        prompt="hé", metadata={"a": [1, {"b": None}]},
    )  # fmt: skip
    assert SqliteSink(path).write([given]) == 1
    assert read(path) == [given]


def test_it_is_made_for_its_user_alone(path: Path):
    SqliteSink(path).write([record()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_programs_with_less_than_an_hour_between_them_share_a_session(path: Path):
    for at in (1000.0, 1000.0 + 0.9 * GAP, 1000.0 + 1.8 * GAP, 1000.0 + 2.8 * GAP):
        SqliteSink(path).write([record(at=at)])
    first, second, third, last = (r.session for r in read(path))
    assert first == second == third != last
    assert first


def test_a_session_that_a_caller_named_is_his_and_goes_on_for_nobody_else(path: Path):
    sink = SqliteSink(path)
    sink.write([record(at=1.0), record(at=2.0, session="nightly")])
    sink.write([record(at=3.0)])
    own, named, later = (r.session for r in read(path))
    assert named == "nightly"
    assert own == later != "nightly"


def test_pruning_does_not_end_a_session(path: Path):
    sink = SqliteSink(path)
    sink.write([record(at=1000.0)])
    (before,) = read(path)
    assert sink.prune(1001.0) == 1
    sink.write([record(at=1002.0)])
    assert [r.session for r in read(path)] == [before.session]


def test_what_is_too_old_is_deleted_once_where_it_is_not_to_be_kept(path: Path):
    SqliteSink(path).write([record(at=time.time() - 100), record(at=time.time() - 10)])
    SqliteSink(path, keep=50.0).write([record(at=time.time(), service="new")])
    assert [r.service for r in read(path)] == ["svc", "new"]


def test_a_value_that_cannot_be_kept_keeps_nothing_of_its_batch(path: Path):
    sink = SqliteSink(path)
    with pytest.raises(sqlite3.IntegrityError):
        sink.write([record(), record(at=float("nan"))])
    assert read(path) == []
    sink.write([record()])
    assert len(read(path)) == 1


@pytest.mark.parametrize("content", [b"not a database" * 100, b"short"])
def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageStoreError, match="not a SQLite database"):
        SqliteSink(path).write([record()])
    with pytest.raises(UsageStoreError, match="not a SQLite database"):
        UsageBook.open(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_as_it_is(path: Path):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE records (x)")
    db.close()
    for use in (lambda: SqliteSink(path).write([record()]), lambda: UsageBook.open(path)):
        with pytest.raises(UsageStoreError, match="another program"):
            use()


def test_the_file_of_a_newer_leyline_is_left_as_it_is(path: Path):
    SqliteSink(path).write([record()])
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(SCHEMA.migrations) + 1}")
    db.close()
    for use in (lambda: SqliteSink(path).write([record()]), lambda: UsageBook.open(path)):
        with pytest.raises(UsageStoreError, match="newer leyline"):
            use()


def test_a_folder_in_its_place_is_said_so(tmp_path: Path):
    with pytest.raises(UsageStoreError, match="folder"):
        SqliteSink(tmp_path).write([record()])
    with pytest.raises(UsageStoreError, match="folder"):
        UsageBook.open(tmp_path)


def test_a_damaged_file_is_an_error_of_the_store_when_it_is_read(path: Path):
    sink = SqliteSink(path)
    sink.write([record(call=f"{number}" * 20) for number in range(2000)])
    sink.close()
    data = bytearray(path.read_bytes())
    data[8192:] = os.urandom(len(data) - 8192)
    path.write_bytes(data)
    with UsageBook.open(path) as book, pytest.raises(UsageStoreError, match="damaged"):
        list(book.records())


def test_a_file_that_cannot_be_written_can_still_be_read(path: Path, tmp_path: Path):
    sink = SqliteSink(path)
    sink.write([record()])
    sink.close()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert len(read(path)) == 1
    finally:
        path.parent.chmod(0o700)


def test_reading_makes_no_file(path: Path):
    assert read(path) == []
    assert not path.parent.exists()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_parent_and_child_of_a_fork_both_go_on(path: Path):
    sink = SqliteSink(path)
    sink.write([record(service="before")])
    pid = os.fork()
    if pid == 0:
        try:
            sink.write([record(service="child")])
        finally:
            os._exit(0)
    sink.write([record(service="parent")])
    os.waitpid(pid, 0)
    sink.write([record(service="after")])
    assert {r.service for r in read(path)} == {"before", "child", "parent", "after"}
