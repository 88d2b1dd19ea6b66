"""The log is never in the way of a call, and writes all that is recorded, once, in its order."""

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from leyline.usage import MemorySink, UsageLog, UsageRecord, open_sink
from leyline.usage.book import UsageBook
from leyline.usage.sqlite import SqliteSink
from tests.usage.records import record
from tests.usage.sinks import Moody, until

pytestmark = pytest.mark.anyio


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


async def test_while_more_and_more_is_recorded_nobody_has_to_wake_the_thread(
    monkeypatch: pytest.MonkeyPatch,
):
    woken: list[UsageLog] = []
    wake = UsageLog._wake
    monkeypatch.setattr(UsageLog, "_wake", lambda log: woken.append(log) or wake(log))

    class Flow(MemorySink):
        """More is recorded whenever it is written."""

        def write(self, records: Sequence[UsageRecord], /) -> int:
            if len(self.records) < 10:
                usage.record(record())
            return super().write(records)

    sink = Flow()
    usage = UsageLog(sink)
    usage.record(record())
    await until(lambda: len(sink.records) == 11)
    assert woken == [usage]
    await usage.aclose()


async def test_the_thread_is_not_interrupted_by_processes_that_end():
    masks: list[set[signal.Signals]] = []

    class Looking(MemorySink):
        def write(self, records: Sequence[UsageRecord], /) -> int:
            masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
            return super().write(records)

    usage = UsageLog(Looking())
    usage.record(record())
    await until(lambda: masks)
    assert signal.SIGCHLD in masks[0]
    await usage.aclose()


async def test_where_nothing_is_recorded_no_file_is_made(tmp_path: Path):
    for name in ("u.db", "u.jsonl"):
        usage = UsageLog(open_sink(tmp_path / name))
        await usage.flush()
        await usage.aclose()
    assert list(tmp_path.iterdir()) == []


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
