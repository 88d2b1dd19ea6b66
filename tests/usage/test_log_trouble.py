"""A store that cannot be written, is held by others, or has no thread: no call fails, little is
lost, and what is lost is said."""

import logging
import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from leyline.errors import UsageStoreError
from leyline.usage import MemorySink, UsageLog, log
from leyline.usage.book import UsageBook
from leyline.usage.sqlite import SqliteSink
from tests.usage.records import record
from tests.usage.sinks import Moody, until

pytestmark = pytest.mark.anyio


async def test_a_store_that_cannot_be_written_is_tried_again_and_said_once(caplog):
    sink = Moody()
    sink.broken = True
    usage = UsageLog(sink)
    usage.record(record(call="1"))
    await until(lambda: sink.tries > 3)
    usage.record(record(call="2"))
    with caplog.at_level(logging.WARNING):
        assert "usage in u.db: the disk is full" in caplog.text
        assert len(caplog.records) == 1
        sink.broken = False
        await until(lambda: len(sink.records) == 2)
        assert [r.call for r in sink.records] == ["1", "2"]
    await usage.aclose()
    assert usage.dropped == 0


async def test_a_flush_says_that_the_store_cannot_be_written_and_loses_nothing():
    sink = Moody()
    sink.broken = True
    usage = UsageLog(sink)
    usage.record(record())
    for _ in range(2):
        with anyio.fail_after(20), pytest.raises(UsageStoreError, match="disk is full"):
            await usage.flush()
    sink.broken = False
    await usage.flush()
    assert len(sink.records) == 1
    await usage.aclose()


async def test_what_waits_is_bounded_and_what_is_dropped_is_counted(monkeypatch, caplog):
    monkeypatch.setattr(log, "CAPACITY", 100)
    sink = Moody()
    sink.broken = True
    usage = UsageLog(sink)
    usage.record(record(call="first"))
    await until(lambda: sink.tries)
    for _ in range(1000):
        usage.record(record())
    assert usage.dropped >= 800
    sink.broken = False
    await usage.flush()
    assert len(sink.records) == 1001 - usage.dropped
    assert sink.records[0].call == "first"
    assert f"{usage.dropped} records were lost" in caplog.text
    await usage.aclose()


@pytest.mark.parametrize(("count", "lost"), [(1, "1 record is lost"), (7, "7 records are lost")])
async def test_closing_gives_up_on_a_broken_store_at_once_and_says_why_and_what_is_lost_in_one_line(
    caplog, count: int, lost: str
):
    sink = Moody()
    sink.broken = True
    usage = UsageLog(sink)
    for _ in range(count):
        usage.record(record())
    usage.close()
    assert usage.dropped == count
    assert caplog.messages == [f"usage in u.db: the disk is full; {lost}"]
    assert sink.tries <= 3
    assert sink.closed == 1


async def test_a_hiccup_of_the_store_is_not_worth_a_word(caplog):
    sink = Moody()
    sink.broken = True
    usage = UsageLog(sink)
    usage.record(record())
    await until(lambda: sink.tries)
    sink.broken = False
    await usage.flush()
    assert caplog.messages == []
    await usage.aclose()


async def test_a_file_that_others_hold_when_it_closes_is_waited_for(tmp_path: Path):
    path = tmp_path / "u.db"
    SqliteSink(path).write([record()])
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    usage = UsageLog(SqliteSink(path))
    usage.record(record())
    timer = threading.Timer(0.2, other.execute, ["COMMIT"])
    timer.start()
    await usage.aclose()
    timer.join()
    other.close()
    assert _count(path) == 2
    assert usage.dropped == 0


async def test_a_record_that_cannot_be_written_keeps_back_no_other(tmp_path: Path, caplog):
    path = tmp_path / "u.db"
    usage = UsageLog(SqliteSink(path))
    for service in ("a", "b", "c"):
        usage.record(record(service=service, at=float("nan") if service == "b" else 1.0))
    await usage.flush()
    await usage.aclose()
    with UsageBook.open(path) as book:
        assert {r.service for r in book.records()} == {"a", "c"}
    assert usage.dropped == 1
    assert "a usage record of b is lost" in caplog.text


async def test_a_file_that_others_hold_is_waited_for_while_calls_go_on(tmp_path: Path):
    path = tmp_path / "u.db"
    SqliteSink(path).write([record()])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    usage = UsageLog(SqliteSink(path))
    for _ in range(100):
        usage.record(record())
    with pytest.raises(UsageStoreError, match="other processes hold it"):
        await usage.flush()
    other.execute("COMMIT")
    other.close()
    await until(lambda: _count(path) == 101)
    await usage.aclose()
    assert usage.dropped == 0


async def test_a_cancelled_flush_is_left_at_once_and_writes_all_the_same(tmp_path: Path):
    path = tmp_path / "u.db"
    SqliteSink(path).write([record()])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    usage = UsageLog(SqliteSink(path))
    usage.record(record())
    with anyio.move_on_after(0.05) as scope:
        await usage.flush()
    assert scope.cancelled_caught
    other.execute("COMMIT")
    other.close()
    await until(lambda: _count(path) == 2)
    await usage.aclose()


async def test_where_no_thread_can_be_started_no_call_fails_and_all_is_written_at_the_end(
    monkeypatch,
):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sink = MemorySink()
    usage = UsageLog(sink)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        usage.record(record())
        usage.record(record())
    await usage.aclose()
    assert len(sink.records) == 2


async def test_a_thread_that_could_not_be_started_is_tried_again_with_the_next_record(
    monkeypatch,
):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sink = MemorySink()
    usage = UsageLog(sink)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        usage.record(record())
    usage.record(record())
    await until(lambda: len(sink.records) == 2)
    await usage.aclose()


def _count(path: Path) -> int:
    with UsageBook.open(path) as book:
        return book.total().runs
