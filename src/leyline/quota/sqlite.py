"""Quotas shared by all processes of one machine, in a SQLite file; they outlive reboots too."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio

from leyline.clock import Clock
from leyline.errors import LedgerError
from leyline.limits import Limit, Weight
from leyline.quota.account import Account, AccountStatus, Booked, Refused
from leyline.quota.accounts_file import UPTIME_CLOCK, AccountsFile, boot_id

T = TypeVar("T")


class SqliteLedger:
    """A ledger in the file *path*, for all processes of this machine; made when it is first used.

    It has a thread of its own, so that the event loop never waits for a lock of another process.
    Cancellation: a booking that nobody waits for any more is given back; everything else is done
    all the same. After a fork, parent and child may both go on using it.

    Where the file is removed or replaced while it is in use, all go on with the one that is there,
    or a new one, from their next transaction on: what was used by then is forgotten.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock = UPTIME_CLOCK,
        boot: str | None = None,
    ) -> None:
        """clock: Monotonic is the machine's uptime. boot: Id of its boot; None: asks the system."""
        where = Path(path).absolute()
        self._file = AccountsFile(where, clock, boot_id() if boot is None else boot)
        self._thread: ThreadPoolExecutor | None = None
        self._process = 0
        self._closed = False

    async def book(
        self,
        account: str,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        max_delay: float,
        dry_run: bool = False,
    ) -> Booked | Refused:
        """See ``Ledger``."""

        def book(state: Account, now: float, wall: float) -> Booked | Refused:
            return state.book(
                booking, limits, weight, now=now, wall=wall, max_delay=max_delay, dry_run=dry_run
            )

        def refund(state: Account, _now: float, _wall: float) -> bool:
            return state.refund(booking)

        thread = self._running()
        booked = thread.submit(self._file.write, account, book)
        try:
            await _end(booked)
        except BaseException:
            if not booked.cancel():  # it is under way or done, and nobody will know of it
                with contextlib.suppress(RuntimeError):  # closed: it stays, as after a crash
                    thread.submit(self._file.write, account, refund)
            raise
        return booked.result()

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        """See ``Ledger``."""

        def confirm(state: Account, now: float, wall: float) -> Booked:
            return state.confirm(booking, limits, weight, now=now, wall=wall)

        return await _outcome(self._running().submit(self._file.write, account, confirm))

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        """See ``Ledger``."""

        def settle(state: Account, _now: float, _wall: float) -> bool:
            return state.settle(booking, limits, weight)

        return await _outcome(self._running().submit(self._file.write, account, settle))

    async def refund(self, account: str, booking: str) -> bool:
        """See ``Ledger``."""

        def refund(state: Account, _now: float, _wall: float) -> bool:
            return state.refund(booking)

        return await _outcome(self._running().submit(self._file.write, account, refund))

    async def throttle(self, account: str, until: float, reason: str) -> None:
        """See ``Ledger``."""

        def close(state: Account, now: float, wall: float) -> None:
            state.close(until, reason, now=now, wall=wall)

        await _outcome(self._running().submit(self._file.write, account, close))

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        """See ``Ledger``. Waits for no writer."""

        def look(state: Account, now: float, wall: float) -> AccountStatus:
            return state.status(limits, now=now, wall=wall)

        return await _outcome(self._running().submit(self._file.read, account, look))

    async def aclose(self) -> None:
        """Let go of the file after what is under way. All else raises LedgerError from now on."""
        thread, self._thread, self._closed = self._thread, None, True
        if thread is not None and self._process == os.getpid():
            closed = thread.submit(self._file.close)
            thread.shutdown(wait=False)
            await _outcome(closed)
            thread.shutdown()  # it has nothing left to do

    def _running(self) -> ThreadPoolExecutor:
        if self._closed:
            raise LedgerError(str(self._file.path), "it was closed; make a new ledger")
        if self._thread is None or self._process != os.getpid():  # threads do not survive a fork
            self._thread, self._process = _new_thread(), os.getpid()
        return self._thread


def _new_thread() -> ThreadPoolExecutor:
    # Else it is woken for most children that end, as the main thread blocks signals when it forks.
    deaf = partial(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGCHLD})
    return ThreadPoolExecutor(1, "leyline-quota", initializer=deaf)


async def _outcome(future: Future[T]) -> T:
    """What became of *future*; it goes on if the caller is cancelled."""
    await _end(future)
    return future.result()


async def _end(future: Future[Any]) -> None:
    loop, done = asyncio.get_running_loop(), anyio.Event()

    def wake(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(wake)
    await done.wait()
