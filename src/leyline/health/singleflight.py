"""One run for everybody who asks at the same time."""

from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import Factory, define, field

from leyline.errors import RegistryClosedError

T = TypeVar("T")


@define(eq=False)
class _Flight(Generic[T]):
    """One run under way.

    results: The one result, once it is there. error: What it raised instead.
    """

    group: TaskGroup
    scope: anyio.CancelScope = Factory(anyio.CancelScope)
    done: anyio.Event = Factory(anyio.Event)
    waiters: int = 0
    results: list[T] = field(factory=list)
    error: Exception | None = None
    traceback: TracebackType | None = None


class SingleFlight(Generic[T]):
    """Shares one run of a function between all callers that name the same key meanwhile.

    Nothing is kept after the run: the next caller starts another.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def run(self, key: Hashable, fn: Callable[[], Awaitable[T]], group: TaskGroup) -> T:
        """The result of *fn*, started in *group* unless a run for *key* is under way.

        An exception of *fn* is raised in every caller as it is, and never in *group*.
        A cancelled caller leaves alone; with the last one the run is cancelled too. Where
        another caller's group took the run down with it, a new one is started in *group*.

        Raises RegistryClosedError if *group* itself was cancelled under the run.
        """
        while True:
            flight = self._flights.get(key)
            if flight is None:
                flight = _Flight[T](group)
                group.start_soon(self._fly, key, flight, fn)
                self._flights[key] = flight
            await self._wait(key, flight)
            if flight.error is not None:
                # Each raise adds its frames to the traceback; begin again from that of the run.
                raise flight.error.with_traceback(flight.traceback)
            if flight.results:
                return flight.results[0]
            if flight.group is group:
                raise RegistryClosedError

    async def _wait(self, key: Hashable, flight: _Flight[T]) -> None:
        flight.waiters += 1
        try:
            await flight.done.wait()
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.done.is_set():
                self._forget(key, flight)
                flight.scope.cancel()

    async def _fly(
        self, key: Hashable, flight: _Flight[T], fn: Callable[[], Awaitable[T]]
    ) -> None:
        try:
            with flight.scope:
                await checkpoint_if_cancelled()  # everybody may have left before it began
                flight.results.append(await fn())
        except Exception as error:  # noqa: BLE001  (it belongs to the callers, not to the group)
            flight.error = error
            flight.traceback = error.__traceback__
        finally:
            self._forget(key, flight)
            flight.done.set()

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:  # a later one may have taken its place
            del self._flights[key]
