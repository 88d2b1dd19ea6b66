"""Keeps the guardian of a registry running, and told of what to kill should this process die."""

import contextlib
import math
import os
import subprocess
import sys
import time
from typing import Final

from leyline.process import capture, guardian

_RESTART_SECONDS: Final = 1.0
_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NO_RUN: Final = guardian.RECORD.pack(0, 0.0)


class Guard:
    """One small process that outlives this one and kills what it leaves behind.

    The leaders of runs stand in a table in memory that both share: to write there wakes nobody,
    is never full, and a guardian that takes another's place knows all that the first one did.
    """

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._guardian: subprocess.Popen[bytes] | None = None
        self._started = -math.inf
        self._table: int | None = None
        self._records = bytearray()
        self._places: dict[str, int] = {}
        self._free: list[int] = []

    def stand(self, folder: str, now: float) -> None:
        """See to it that the guardian runs; one that died is replaced, but not every moment.

        folder: What it removes in the end. now: Seconds, monotonic.
        """
        if self._guardian is not None and self._guardian.poll() is None:
            return
        if now - self._started >= _RESTART_SECONDS:
            self._started = now
            self._end_guardian()
            with contextlib.suppress(OSError):  # until the next try only: everything else holds
                self._start(folder)

    def tell(self, run: str, leader: int) -> None:
        """The session of *leader* is to be killed should this process die. Never raises."""
        place = self._free.pop() if self._free else len(self._places)
        self._places[run] = place
        self._write(place, guardian.RECORD.pack(leader, time.clock_gettime(_BOOT_CLOCK)))

    def forget(self, run: str) -> None:
        """Nothing is left of *run*; its number may pass to another program. Never raises."""
        place = self._places.pop(run, None)
        if place is not None:
            self._free.append(place)
            self._write(place, _NO_RUN)

    def dismiss(self) -> None:
        """Nothing is left to guard, and nothing will be."""
        self._started = math.inf
        self._end_guardian()
        if self._table is not None:
            os.close(self._table)
            self._table = None

    def _write(self, place: int, record: bytes) -> None:
        start = place * guardian.RECORD.size
        self._records[start : start + guardian.RECORD.size] = record
        if self._table is not None:
            with contextlib.suppress(OSError):  # no memory; what is marked is found all the same
                os.pwrite(self._table, record, start)

    def _start(self, folder: str) -> None:
        if self._table is None:
            self._table = capture.open_memory()
            os.pwrite(self._table, self._records, 0)
        self._guardian = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                guardian.__file__,
                self._registry,
                str(os.getpid()),
                folder,
            ],
            stdin=subprocess.PIPE,
            stdout=self._table,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def _end_guardian(self) -> None:
        if self._guardian is not None:
            self._guardian.kill()
            self._guardian.communicate()
            self._guardian = None
