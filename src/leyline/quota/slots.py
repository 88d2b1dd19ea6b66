"""How many runs of a quota there may be at the same time, over all processes of a machine."""

import contextlib
import fcntl
import math
import os
import random
from collections.abc import Callable, Generator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio
from attrs import define, field

from leyline.clock import Clock
from leyline.errors import LedgerError, QuotaExceededError
from leyline.model import Priority
from leyline.quota.notice import Notice
from leyline.quota.queue import Queue

_SHORTEST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.05
_GROWTH: Final = 1.5
_LONGEST_NAME: Final = 200
"""Bytes of a file's name; file systems end at 255."""


@define(eq=False)
class Slot:
    """One slot, taken.

    descriptor: What holds it. Start the tool with it in ``Command.pass_fds``: the slot is then
        busy as long as the tool lives, even when this process was killed. It is not inherited by
        any other child. -1 once the slot is released.
    """

    descriptor: int
    _released: Callable[[], None]

    def release(self) -> None:
        """Let go of it; it is free as soon as the tool has ended too. The second time does nothing.

        Only closed, never unlocked: unlocking would take it from the tool as well.
        """
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)
            self._released()


@define(eq=False)
class _Waiter:
    """One who waits for a slot, and how long the next look is put off.

    eager: It has just come, or a slot was released here: so it would be quicker than those who
        wait in other processes.
    """

    wake: anyio.Event = field(factory=anyio.Event)
    eager: bool = False
    _pause: float = _SHORTEST_PAUSE

    def pause(self) -> float:
        """Seconds until the next look, should nobody wake us.

        What other processes release cannot be waited for: a blocking ``flock`` holds a thread that
        no cancellation reaches. So the first in the queue looks again, after pauses that grow to
        a bound, and at random moments, so that no process always comes just too late.
        """
        return self._pause * random.uniform(0.5, 1.0)  # noqa: S311  (nothing secret)

    async def wait(self, seconds: float) -> None:
        """Until somebody wakes us, at most *seconds*."""
        with anyio.move_on_after(seconds):
            await self.wake.wait()
        if self.wake.is_set():
            self.wake = anyio.Event()
            self._pause = _SHORTEST_PAUSE
        else:
            self._pause = min(self._pause * _GROWTH, _LONGEST_PAUSE)


class Slots:
    """The slots of one account, in the order of ``Queue``; for one event loop.

    Between processes they go round, about one each in turn: who would have a slot again at once
    lets those look first who wait elsewhere.

    Each is a file in *folder*, which must be on a local file system, and is busy while somebody
    holds its lock (``flock``). The system drops the lock with the last descriptor, however its
    holders end, so a file that was left behind means nothing. Files are never removed: two
    processes could then hold the lock of two files of one name.
    """

    def __init__(
        self, folder: Path, account: str, count: int, *, service: str | None = None
    ) -> None:
        """*count* slots of *account*. Touches nothing yet: *folder* is made for the first one.

        service: Whose runs these are, for errors; None: the account is its own.
        """
        self._folder = folder
        self._service = account if service is None else service
        self._count = count
        self._name = _file_name(account)
        self._held: set[int] = set()
        self._waiting = Queue[_Waiter]()
        self._notice = Notice(folder / f"{self._name}.waiting")
        self._gives_way_until = -math.inf

    def try_take(self) -> Slot | None:
        """A slot, if one is free and nobody of this process waits for it.

        Raises LedgerError if the files cannot be used.
        """
        return None if self._waiting.first else self._take_free()

    async def take(
        self, *, clock: Clock, deadline: float | None, priority: Priority = Priority.NORMAL
    ) -> Slot:
        """A slot, as soon as there is one; asked for once even if the deadline has passed.

        deadline: In seconds of ``clock.monotonic``; None means no limit.
        priority: Before or after others of this process who wait.
        Raises QuotaExceededError when the deadline passes, LedgerError if the files cannot be used.
        Cancellation: nothing is taken.
        """
        waiter = _Waiter()
        self._waiting.add(waiter, priority)
        waiter.eager = self._waiting.first is waiter
        try:
            while True:
                now = clock.monotonic()
                left = math.inf if deadline is None else deadline - now
                pause = math.inf
                if self._waiting.first is waiter:
                    pause = self._gives_way_for(waiter, now) if left > 0 else 0.0
                    if pause <= 0:
                        if (slot := self._take_free()) is not None:
                            self._waiting.pop()
                            return slot
                        pause = waiter.pause()
                if left <= 0:
                    raise self._exceeded()
                if pause < math.inf:
                    with self._translating():
                        self._notice.post()
                await waiter.wait(min(left, pause))
        finally:
            self._leave(waiter)

    def _gives_way_for(self, waiter: _Waiter, now: float) -> float:
        """Seconds for which those who wait elsewhere, and look only now and then, are to be first.

        Not again while they last: who was stopped while it waits holds nobody up for long.
        """
        eager, waiter.eager = waiter.eager, False
        if eager and now >= self._gives_way_until:
            with self._translating():
                if self._notice.is_posted_elsewhere():
                    self._gives_way_until = now + _LONGEST_PAUSE
        return self._gives_way_until - now

    def _leave(self, waiter: _Waiter) -> None:
        self._waiting.discard(waiter)
        if self._waiting.first is None:
            self._notice.withdraw()
        else:
            self._wake_first()

    def _wake_first(self, *, eager: bool = False) -> None:
        first = self._waiting.first
        if first is not None:
            first.eager = first.eager or eager
            first.wake.set()

    def _take_free(self) -> Slot | None:
        for number in range(self._count):
            if number in self._held:
                continue
            descriptor = self._lock(self._folder / f"{self._name}.{number}")
            if descriptor is not None:
                self._held.add(number)
                return Slot(descriptor, partial(self._give_back, number))
        return None

    def _give_back(self, number: int) -> None:
        self._held.discard(number)
        self._wake_first(eager=True)

    def _lock(self, path: Path) -> int | None:
        """A descriptor that holds the lock of the file; None if another one does."""
        with self._translating():
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException as error:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    return None
                raise
        return descriptor

    @contextlib.contextmanager
    def _translating(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            problem = f"slots cannot be locked there: {error.strerror}"
            hint = "it must be a local folder that can be written to"
            raise LedgerError(str(self._folder), f"{problem}; {hint}") from error

    def _exceeded(self) -> QuotaExceededError:
        runs = "its only run is" if self._count == 1 else f"all its {self._count} runs are"
        return QuotaExceededError(
            self._service,
            f"{runs} still busy; wait longer, or raise quota_limits.concurrent",
            limit="concurrent",
            used=self._count,
            amount=self._count,
        )


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def _file_name(account: str) -> str:
    """The name of the account's files, without their number."""
    name = quote(account, safe="")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:100]}~{sha256(account.encode()).hexdigest()}"
