"""Records on their way to a sink: handed over at once, written behind by one thread."""

import atexit
import contextlib
import logging
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future
from typing import Final
from weakref import WeakSet

import anyio
import anyio.to_thread
from attrs import define, field

from leyline.errors import UsageStoreError
from leyline.usage.record import UsageRecord
from leyline.usage.sink import Sink

logger = logging.getLogger(__name__)

INTERVAL: Final = 0.02
"""Seconds that records are gathered before they are written."""

CAPACITY: Final = 50_000
"""Records that wait at most, while the store cannot be written."""

_BATCH: Final = 2_000
_LONGEST_PAUSE: Final = 1.0
_SAID_AFTER: Final = 3
"""Failures in a row after which the log of the program is told; a hiccup is not worth a word."""

_Done = Future[None]


@define(eq=False)
class _Signals:
    """What a log and its thread tell each other."""

    work: threading.Event = field(factory=threading.Event)
    hurry: threading.Event = field(factory=threading.Event)
    closing: threading.Event = field(factory=threading.Event)
    lock: threading.Lock = field(factory=threading.Lock)


@define(eq=False)
class UsageLog:
    """Writes records to *sink*, some 20 ms after they were recorded, in batches.

    A thread of its own does it, from the first record on. While the store cannot be written it
    tries again and again, and from the third time on says so once in the log of the program; past
    50,000 records that wait, new ones are dropped. No call ever waits for it, or fails because of
    it.

    What was recorded is written when the interpreter exits, also without ``aclose``.
    """

    sink: Sink
    dropped: int = field(default=0, init=False)
    """Records that could not be kept, since the beginning."""

    _pending: deque[UsageRecord | _Done] = field(factory=deque[UsageRecord | _Done], init=False)
    _batch: list[UsageRecord] = field(factory=list[UsageRecord], init=False)
    _asked: list[_Done] = field(factory=list[_Done], init=False)
    _state: _Signals = field(factory=_Signals, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _writing: threading.Lock = field(factory=threading.Lock, init=False)
    _unsynced: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)  # in a row
    _said: bool = field(default=False, init=False)
    _error: UsageStoreError | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        _logs.add(self)

    def record(self, record: UsageRecord) -> None:
        """Keep *record*. Returns at once, from any thread."""
        if len(self._pending) >= CAPACITY:
            self.dropped += 1
            return
        self._pending.append(record)
        if self._thread is None or not self._state.work.is_set():
            self._wake()

    async def flush(self) -> None:
        """Wait until all that was recorded so far is written, and would survive a power cut.

        Raises UsageStoreError if the store cannot be written now; the records are kept, and tried
        again. Cancellation: they are written all the same.
        """
        done = _Done()
        with self._state.lock:
            self._asked.append(done)
        self._pending.append(done)  # all that was recorded before is before it
        self._state.hurry.set()
        self._wake()
        await anyio.to_thread.run_sync(done.result, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Write what waits, and let go of the store until something is recorded again.

        Never raises because of the store: it is tried once more, which waits a second for others
        that hold it; what cannot be written then is dropped, and the log of the program says why
        and how many. Not cancellable.
        """
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """As ``aclose``, where nothing can be awaited."""
        with self._state.lock:
            thread, self._thread = self._thread, None
            self._state.closing.set()  # nobody starts another with these signals
        if thread is not None:
            self._state.hurry.set()
            self._state.work.set()
            thread.join()
        self._state = _Signals()
        self._write_last()

    def _wake(self) -> None:
        self._state.work.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        state = self._state
        with state.lock:
            if self._thread is not None or state.closing.is_set():
                return
            thread = threading.Thread(
                target=self._run, args=(state,), name="leyline-usage", daemon=True
            )
            with contextlib.suppress(RuntimeError):  # no more threads: the next record tries again
                thread.start()
                self._thread = thread

    def _run(self, state: _Signals) -> None:
        # Else it would be woken for each process that ends while the main thread starts another.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pause = INTERVAL
        while not state.closing.is_set():
            state.work.wait()
            state.hurry.wait(pause)
            state.hurry.clear()
            state.work.clear()
            if self._pending:  # more will come: let nobody have to wake this thread for it
                state.work.set()
            if self._write():
                pause = INTERVAL
            elif not state.closing.is_set():  # else there are last words to come
                self._say_so()
                state.work.set()
                pause = min(_LONGEST_PAUSE, 2 * pause)

    def _write(self) -> bool:
        """Write all that waits; whether it could be."""
        with self._writing:
            return self._write_all()

    def _write_all(self) -> bool:
        while True:
            done = self._gather()
            if self._batch and not self._write_batch():
                return False
            if done is not None and not self._settle(done):
                return False
            if not self._batch and not self._pending:
                return True

    def _gather(self) -> _Done | None:
        """Fill the batch, up to somebody who waits for what was before."""
        while self._pending and len(self._batch) < _BATCH:
            item = self._pending.popleft()
            if isinstance(item, Future):
                return item
            self._batch.append(item)
        return None

    def _write_batch(self) -> bool:
        try:
            while self._batch:
                self._unsynced = True
                del self._batch[: self.sink.write(self._batch)]
        except UsageStoreError as error:
            self._failed(error)
            return False
        except Exception:
            if not self._write_one_by_one():
                return False
        if self._said or (self._failures and self.dropped):
            logger.warning("usage is written again; %d records were lost", self.dropped)
        self._failures, self._said = 0, False
        return True

    def _write_one_by_one(self) -> bool:
        """One of the batch cannot be written at all; it shall not keep back the others."""
        while self._batch:
            try:
                self.sink.write(self._batch[:1])
            except UsageStoreError as error:
                self._failed(error)
                return False
            except Exception:
                self.dropped += 1
                logger.exception("a usage record of %s is lost", self._batch[0].service)
            del self._batch[:1]
        return True

    def _settle(self, done: _Done) -> bool:
        """Tell somebody who waits that all before is written."""
        with self._state.lock:
            if done not in self._asked:  # was told already that it could not be
                return True
        try:
            self._sync()
        except UsageStoreError as error:
            self._failed(error)
            return False
        with self._state.lock:
            self._asked.remove(done)
        done.set_result(None)
        return True

    def _sync(self) -> None:
        if self._unsynced:
            self.sink.sync()
            self._unsynced = False

    def _failed(self, error: UsageStoreError) -> None:
        self._failures += 1
        self._error = error
        with self._state.lock:
            asked = self._asked[:]
            self._asked.clear()
        for done in asked:
            done.set_exception(error)

    def _say_so(self) -> None:
        if self._failures >= _SAID_AFTER and not self._said:
            self._said = True
            logger.warning("%s; it is tried again, and calls go on", self._error)

    def _write_last(self) -> None:
        if not self._write():  # where others hold the store, the sink has waited for them
            self._give_up()
        with contextlib.suppress(UsageStoreError):  # it is written; only a power cut could undo it
            self._sync()
        self.sink.close()

    def _give_up(self) -> None:
        with self._writing:
            lost = len(self._batch)
            self._batch.clear()
            while self._pending:
                item = self._pending.popleft()
                if isinstance(item, Future):
                    item.cancel()
                else:
                    lost += 1
        self.dropped += lost
        records = "1 record is" if lost == 1 else f"{lost} records are"
        logger.warning("%s; %s lost", self._error, records)

    def after_fork(self) -> None:
        """In the child: what waits is the parent's to write, and its thread is not here."""
        self._pending.clear()
        self._batch = []
        self._asked = []
        self._thread = None
        self._state = _Signals()
        self._writing = threading.Lock()


_logs: Final = WeakSet[UsageLog]()


def _close_all() -> None:
    for log in tuple(_logs):
        log.close()


def _after_fork_in_child() -> None:
    for log in tuple(_logs):
        log.after_fork()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
