"""Hands what a process writes to whoever listens, while it runs."""

import logging
from collections.abc import Callable
from typing import Final

import anyio.lowlevel

from leyline.model import Listener
from leyline.process import capture

logger = logging.getLogger(__name__)

_TURN_BYTES: Final = 256 * 1024
"""Of each stream at once, so that nobody else in the event loop waits long."""


class Tail:
    """Both outputs of one process, as far as its listener has heard them.

    Nothing past the cap of an output is handed over. A listener that raises is logged and hears
    no more; the process runs on.
    """

    def __init__(self, stdout: int, stderr: int, *, cap: int, listener: Listener) -> None:
        self._cap = cap
        self._streams = (_Stream(stdout, listener.stdout), _Stream(stderr, listener.stderr))
        self._failed = False

    def step(self) -> bool:
        """Hand over some of what is new. True: the listener wants the process stopped."""
        stop = False
        for stream in self._streams:
            stop |= self._hand_over(stream)
        return stop

    async def finish(self) -> None:
        """Hand over the rest of what is written by now, others having their turn in between."""
        for stream in self._streams:
            end = min(capture.size(stream.descriptor), self._cap)
            before = -1
            while not self._failed and before < stream.heard < end:
                before = stream.heard
                self._hand_over(stream)
                await anyio.lowlevel.checkpoint()

    def _hand_over(self, stream: "_Stream") -> bool:
        if self._failed:
            return False
        try:
            return stream.hand_over(min(_TURN_BYTES, self._cap - stream.heard))
        except Exception:
            self._failed = True
            logger.exception("a listener failed; the process runs on unheard")
            return False


class _Stream:
    def __init__(self, descriptor: int, listener: Callable[[bytes], bool]) -> None:
        self.descriptor = descriptor
        self.heard = 0
        self._listener = listener

    def hand_over(self, count: int) -> bool:
        data = capture.read_from(self.descriptor, self.heard, count)
        if data:
            self.heard += len(data)
            return self._listener(data)
        if self.heard > capture.size(self.descriptor):  # it opened its output anew
            self.heard = 0
        return False
