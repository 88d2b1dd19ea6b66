"""Results on their way to the disk: many in one go, each in the journal before the output."""

import anyio
from anyio.to_thread import run_sync
from attrs import define, field

from leyline.batch.journal import Journal, Result
from leyline.batch.output import OutputFile

_GATHERING_SECONDS = 0.05
"""For so long results gather before they are written: one wait for the disk serves them all."""

_MOST = 256
"""Results that may wait to be written; then those who bring more wait too."""


@define(eq=False)
class Writer:
    """Writes results down behind those who bring them, by ``run``, its only task.

    ordered: Lines go out in the order of the input, each as soon as all before it have.
    lines: That are in the output.
    """

    journal: Journal
    output: OutputFile
    ordered: bool = False
    lines: int = 0
    _waiting: list[Result] = field(factory=list[Result], init=False)
    _news: anyio.Event = field(factory=anyio.Event, init=False)
    _room: anyio.Event = field(factory=anyio.Event, init=False)
    _broken: bool = field(default=False, init=False)
    _lock: anyio.Lock = field(factory=anyio.Lock, init=False)

    def add(self, result: Result) -> None:
        """Hand over *result*; it is on the disk about a twentieth of a second later."""
        self._waiting.append(result)
        self._news.set()

    async def room(self) -> None:
        """Wait until not too many wait to be written."""
        while len(self._waiting) >= _MOST:
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

        Once it could not be written, nothing is tried again.
        """
        with anyio.CancelScope(shield=True):
            async with self._lock:
                results, self._waiting = self._waiting, []
                self._news = anyio.Event()
                if results and not self._broken:
                    self._broken = True
                    await run_sync(self._write, results)
                    self._broken = False
                self._room.set()
                self._room = anyio.Event()

    def _write(self, results: list[Result]) -> None:
        self.journal.keep(results)
        if self.ordered:
            lines = list(self.journal.ordered_lines(self.lines))
        else:
            lines = [result.line for result in results]
        self.output.append(lines)
        self.lines += len(lines)
