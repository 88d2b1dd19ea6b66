"""Results on their way to the disk: many in one go, each in the journal before the output."""

from collections.abc import Iterator
from itertools import islice

import anyio
from anyio.to_thread import run_sync
from attrs import define, field

from leyline.batch.journal import CHUNK, Journal, Result
from leyline.batch.output import OutputFile

_GATHERING_SECONDS = 0.05
"""For so long results gather before they are written: one wait for the disk serves them all."""

_MOST = 256
"""Results that may wait to be written; then those who bring more wait too."""


@define(eq=False)
class Writer:
    """Writes results down behind those who bring them, by ``run``, its only task.

    ordered: Lines go out in the order of the input, each as soon as all before it have.
    lines: That are in the output. unwritten: Results that are not in the journal yet.
    """

    journal: Journal
    output: OutputFile
    ordered: bool = False
    lines: int = 0
    unwritten: list[Result] = field(factory=list[Result], init=False)
    _news: anyio.Event = field(factory=anyio.Event, init=False)
    _room: anyio.Event = field(factory=anyio.Event, init=False)
    _torn: bool = field(default=False, init=False)  # the output may not be whole
    _lock: anyio.Lock = field(factory=anyio.Lock, init=False)

    def add(self, result: Result) -> None:
        """Hand over *result*; it is on the disk about a twentieth of a second later."""
        self.unwritten.append(result)
        self._news.set()

    async def room(self) -> None:
        """Wait until not too many wait to be written."""
        while len(self.unwritten) >= _MOST:
            await self._room.wait()

    async def run(self) -> None:
        """Write what comes, until cancelled; ``flush`` then writes the rest.

        Raises BatchError where it cannot be written.
        """
        while True:
            await self._news.wait()
            await anyio.sleep(_GATHERING_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Have all that was handed over on the disk. Not cancellable: it takes milliseconds.

        Raises BatchError where it cannot be written. What the journal did not take is still
        ``unwritten``, and tried again the next time; an output that did not take its lines is left
        to the next opening, which mends it by the journal.
        """
        with anyio.CancelScope(shield=True):
            async with self._lock:
                results = self.unwritten.copy()
                self._news = anyio.Event()
                try:
                    if results:
                        await run_sync(self.journal.keep, results)
                        del self.unwritten[: len(results)]
                        await run_sync(self._put_out, results)
                finally:
                    self._room.set()
                    self._room = anyio.Event()

    def _put_out(self, results: list[Result]) -> None:
        if self._torn:
            return
        self._torn = True
        lines: Iterator[str] = (result.line for result in results)
        if self.ordered:
            lines = self.journal.ordered_lines(self.lines)
        while some := list(islice(lines, CHUNK)):  # behind a slow row there may be very many
            self.output.append(some)
            self.lines += len(some)
        self._torn = False
