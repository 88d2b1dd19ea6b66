"""The rows that are still to be asked, from the journal, as they are wanted."""

from collections import deque

import anyio
from anyio.to_thread import run_sync
from attrs import define, field

from leyline.batch.journal import Journal
from leyline.batch.recipe import Recipe, Row


@define(eq=False)
class Feed:
    """One row after another; for several who take from it. ahead: Rows that it holds at most."""

    journal: Journal
    recipe: Recipe
    ahead: int
    only_failed: bool = False
    closed: bool = False
    _ahead: deque[Row] = field(factory=deque[Row], init=False)
    _after: int = field(default=0, init=False)
    _turn: anyio.Lock = field(factory=anyio.Lock, init=False)

    async def next(self) -> Row | None:
        """The next row; None: there is none, or it was closed."""
        async with self._turn:
            if not self._ahead and not self.closed:
                await run_sync(self._read)
            return self._ahead.popleft() if self._ahead and not self.closed else None

    def _read(self) -> None:
        rows = self.journal.waiting(self._after, self.ahead, only_failed=self.only_failed)
        for position, record in rows:
            self._after = position
            self._ahead.append(self.recipe.row(record))
