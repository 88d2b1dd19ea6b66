"""A batch on its way through the services, row by row, until all have a result or it must end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from leyline.batch.feed import Feed
from leyline.batch.opening import Opened
from leyline.batch.outcome import Spending, hopeless, result_of
from leyline.batch.progress import Progress
from leyline.batch.recipe import Row
from leyline.batch.settings import Ending, Settings
from leyline.batch.writer import Writer
from leyline.calls import Call
from leyline.errors import LedgerError, LeylineError
from leyline.events import AttemptFinished, AttemptStarted, Event
from leyline.routing.map import Mapped
from leyline.service_registry import ServiceRegistry

_MOST_LOST: Final = 20
"""Rows that ask for something particular may find no service for it; so many in a row mean that
there is none."""

_AHEAD: Final = 16
"""Rows that are read at once, where not more than these are asked at once."""


@define(eq=False)
class _Asked:
    """A row under way. lane: The loop that it is in. runs: Processes that run for it now.

    spent: By those that have ended.
    """

    row: Row
    lane: anyio.CancelScope
    runs: int = 0
    spent: Spending = field(factory=Spending)


@frozen(kw_only=True)
class Report:
    """How a run ended. why: The error behind it, where there is one.

    unwritten: Rows that have run, but what came of them could not be written down.
    """

    ending: Ending
    why: LeylineError | None = None
    unwritten: int = 0


class Run:
    """One run of a batch. ``stop`` ends it early, ``hear`` is to be the registry's ``on_event``."""

    def __init__(self, opened: Opened, settings: Settings) -> None:
        self._opened = opened
        self._settings = settings
        self.progress = Progress(opened.sums)
        ahead = max(_AHEAD, settings.concurrency)
        self._feed = Feed(opened.journal, opened.recipe, ahead, settings.only_failed)
        lines = opened.repair.kept + opened.repair.written
        self._writer = Writer(opened.journal, opened.output, settings.ordered, lines)
        self._asked: dict[str, _Asked] = {}  # by the id of its request
        self._count = 0
        self.ending: Ending | None = None
        self._why: LeylineError | None = None
        self._lost = 0  # rows one after another for which no service could be used
        self._broken: LeylineError | None = None

    def hear(self, event: Event) -> None:
        """Take note of an event of the registry."""
        if not isinstance(event, AttemptStarted | AttemptFinished):
            return
        self.progress.hear(event)
        asked = self._asked.get(event.call)
        if asked is None:
            return
        if isinstance(event, AttemptStarted):
            asked.runs += 1
            return
        if event.result is not None:
            asked.spent.add(event.result)
        if event.result is None or not event.result.success:  # a success is still to be kept
            asked.runs -= 1
            self._leave(asked)

    def stop(self, ending: Ending) -> None:
        """Begin nothing more and let finish what runs; what only waits for its turn is left."""
        if self.ending is not None:
            return
        self.ending = ending
        self._feed.closed = True
        for asked in self._asked.values():
            self._leave(asked)

    @property
    def busy(self) -> int:
        """Rows for which a process runs."""
        return sum(asked.runs > 0 for asked in self._asked.values())

    @property
    def waiting(self) -> int:
        """Rows that have been taken and wait for their turn."""
        return len(self._asked) - self.busy

    def _leave(self, asked: _Asked) -> None:
        if self.ending is not None and not asked.runs:
            asked.lane.cancel()

    async def main(self, registry: ServiceRegistry) -> Report:
        """Ask all rows. Where results cannot be written, what runs is stopped, and the report says
        so.

        Cancellation: what runs is stopped; results that are there are written.
        """
        scope = anyio.CancelScope()
        self._heed_limits()
        try:
            with scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._guarded, self._writer.run, scope)
                    async with anyio.create_task_group() as lanes:
                        self._open_lane(registry, lanes, scope)
                    group.cancel_scope.cancel()
        finally:
            await self._guarded(self._writer.flush, scope)
            unwritten = self._writer.unwritten
            self.progress.take_back(unwritten)
        if self._broken is not None:
            return Report(ending=Ending.BROKEN, why=self._broken, unwritten=len(unwritten))
        return Report(ending=self.ending or Ending.DONE, why=self._why)

    def _open_lane(
        self, registry: ServiceRegistry, lanes: TaskGroup, scope: anyio.CancelScope
    ) -> None:
        """One more, if there may be; each one opens the next when it has something to do."""
        if self._count < self._settings.concurrency and self.ending is None:
            self._count += 1
            open_next = partial(self._open_lane, registry, lanes, scope)
            lane = partial(self._lane, registry, open_next)
            lanes.start_soon(self._guarded, lane, scope)

    async def _guarded(self, step: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Let an error end the run as what it is, in no group of errors."""
        try:
            await step()
        except LeylineError as error:
            self._broken = self._broken or error
            scope.cancel()

    async def _lane(self, registry: ServiceRegistry, open_next: Callable[[], None]) -> None:
        """One loop over answers of its own, so that it can be left while others go on."""
        with anyio.CancelScope() as scope:
            answers = registry.map(
                self._requests(scope, open_next), services=self._settings.services, concurrency=1
            )
            async with aclosing(answers):
                async for mapped in answers:
                    self._keep(mapped)
                    await self._writer.room()

    async def _requests(
        self, lane: anyio.CancelScope, open_next: Callable[[], None]
    ) -> AsyncIterator[Call]:
        while (row := await self._feed.next()) is not None:
            request = Call(
                prompt=row.prompt,
                files=row.files,
                model=row.model or self._settings.model,
                timeout=self._settings.timeout,
                services=row.services,
            )
            self._asked[request.id] = _Asked(row, lane)
            open_next()
            yield request

    def _keep(self, mapped: Mapped) -> None:
        asked = self._asked.pop(mapped.call.id)
        row, spent = asked.row, asked.spent
        why = hopeless(mapped)
        self._lost = 0 if why is None else self._lost + 1
        if why is not None and (not row.is_particular or self._lost > _MOST_LOST):
            self._why = self._why or why
            self.stop(Ending.BROKEN if isinstance(why, LedgerError) else Ending.UNUSABLE)
            return
        result = result_of(row, mapped, spent)
        self.progress.count(result, unpriced=spent.unpriced)
        self._writer.add(result)
        self._heed_limits()

    def _heed_limits(self) -> None:
        sums, settings = self.progress.sums, self._settings
        if settings.max_cost is not None and (sums.cost or 0.0) >= settings.max_cost:
            self.stop(Ending.COST)
        elif settings.max_failures is not None and self.progress.failed >= settings.max_failures:
            self.stop(Ending.FAILURES)
