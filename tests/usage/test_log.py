"""The log is never in the way of a call, and loses nothing that the store can take."""

import logging
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from leyline.errors import UsageStoreError
from leyline.usage import MemorySink, UsageLog, UsageRecord, log, open_sink
from leyline.usage.book import UsageBook
from leyline.usage.sqlite import SqliteSink
from tests.usage.records import record

pytestmark = pytest.mark.anyio


class Moody(MemorySink):
    """Cannot be written while *broken*. tries: How often it was."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.tries = 0
        self.synced = 0
        self.closed = 0

    def write(self, records: Sequence[UsageRecord], /) -> int:
        self.tries += 1
        if self.broken:
            raise UsageStoreError("u.db", "the disk is full")
        return super().write(records)

    def sync(self) -> None:
        if self.broken:
            raise UsageStoreError("u.db", "the disk is full")
        self.synced += 1

    def close(self) -> None:
        self.closed += 1


async def until(done) -> None:
    with anyio.fail_after(20):
        while not done():
            await anyio.sleep(0.005)


async def test_what_is_recorded_is_written_without_anybody_waiting_for_it():
    sink = MemorySink()
    usage = UsageLog(sink)
    usage.record(record())
    await until(lambda: sink.records)
    await usage.aclose()


async def test_many_are_written_in_few_batches_and_in_their_order():
    sink = Moody()
    usage = UsageLog(sink)
    for number in range(5000):
        usage.record(record(call=f"{number}"))
    await usage.flush()
    assert [r.call for r in sink.records] == [f"{number}" for number in range(5000)]
    assert sink.tries < 500
    await usage.aclose()


async def test_after_a_flush_all_is_there_and_synced():
    sink = Moody()
    usage = UsageLog(sink)
    usage.record(record())
    await usage.flush()
    assert (len(sink.records), sink.synced) == (1, 1)
    await usage.flush()  # of nothing more
    assert sink.synced == 1
    usage.record(record())
    await usage.aclose()
    assert (len(sink.records), sink.synced) == (2, 2)


async def test_where_nothing_is_recorded_no_file_is_made(tmp_path: Path):
    for name in ("u.db", "u.jsonl"):
        usage = UsageLog(open_sink(tmp_path / name))
        await usage.flush()
        await usage.aclose()
    assert list(tmp_path.iterdir()) == []


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


async def test_closing_gives_up_on_a_store_that_stays_broken_and_says_what_is_lost(
    monkeypatch, caplog
):
    monkeypatch.setattr(log, "_LAST_TRIES", 0.1)
    sink = Moody()
    sink.broken = True
    usage = UsageLog(sink)
    for _ in range(7):
        usage.record(record())
    await usage.aclose()
    assert usage.dropped == 7
    assert "7 records are lost" in caplog.text
    assert sink.closed == 1


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


async def test_after_closing_it_goes_on_where_something_is_recorded_again():
    sink = Moody()
    usage = UsageLog(sink)
    usage.record(record())
    await usage.aclose()
    assert (len(sink.records), sink.closed) == (1, 1)
    usage.record(record())
    await until(lambda: len(sink.records) == 2)
    await usage.aclose()


async def test_closing_ends_the_thread_and_nothing_recorded_starts_none():
    before = {thread.name for thread in threading.enumerate()}
    assert "leyline-usage" not in before
    usage = UsageLog(MemorySink())
    await usage.aclose()
    usage.record(record())
    assert "leyline-usage" in {thread.name for thread in threading.enumerate()}
    await usage.aclose()
    assert "leyline-usage" not in {thread.name for thread in threading.enumerate()}


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


async def test_what_is_recorded_while_it_closes_is_written_once():
    sink = MemorySink()
    usage = UsageLog(sink)
    stop = threading.Event()
    count = 0

    def work() -> None:
        nonlocal count
        while not stop.is_set():
            usage.record(record(call=f"{count}"))
            count += 1
            stop.wait(0.0001)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(30):
        await usage.aclose()
    stop.set()
    thread.join()
    usage.record(record(call=f"{count}"))
    await until(lambda: len(sink.records) == count + 1)  # its thread was started again
    assert [r.call for r in sink.records] == [f"{number}" for number in range(count + 1)]
    await usage.aclose()


async def test_records_from_many_threads_are_all_there():
    sink = MemorySink()
    usage = UsageLog(sink)

    def work() -> None:
        for _ in range(1000):
            usage.record(record())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await usage.aclose()
    assert len(sink.records) == 8000


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
async def test_a_fork_writes_nothing_twice_and_both_go_on(tmp_path: Path):
    path = tmp_path / "u.db"
    usage = UsageLog(SqliteSink(path))
    for _ in range(500):
        usage.record(record(service="before"))
    pid = os.fork()
    if pid == 0:
        try:
            usage.record(record(service="child"))
            usage.close()
        finally:
            os._exit(0)
    usage.record(record(service="parent"))
    os.waitpid(pid, 0)
    await usage.aclose()
    with UsageBook.open(path) as book:
        counts = {s.key: s.runs for s in book.summaries()}
    assert counts == {"before": 500, "child": 1, "parent": 1}


def _count(path: Path) -> int:
    with UsageBook.open(path) as book:
        return book.total().runs
