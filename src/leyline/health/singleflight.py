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

    results: The one result, once it is there. error, traceback: What it raised instead.
    """

    scope: anyio.CancelScope = Factory(anyio.CancelScope)
    done: anyio.Event = Factory(anyio.Event)
    waiters: int = 0
    results: list[T] = field(factory=list[T])
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

        key: Callers that share a key share the group too: the run lives in the first one's.

        An exception of *fn* is raised in every caller as itself, and never in *group*.
        Cancellation: the caller leaves alone; with the last one the run is cancelled too.
        Raises RegistryClosedError if *group* was cancelled under the run.
        """
        await checkpoint_if_cancelled()  # who has left already starts nothing
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight[T]()
            group.start_soon(self._fly, key, flight, fn)
            self._flights[key] = flight
        await self._wait(key, flight)
        if flight.error is not None:
            # Each raise adds its frames to the traceback; begin again from that of the run.
            raise flight.error.with_traceback(flight.traceback)
        if not flight.results:
            raise RegistryClosedError
        return flight.results[0]

    async def _wait(self, key: Hashable, flight: _Flight[T]) -> None:
        flight.waiters += 1
        try:
            await flight.done.wait()
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.done.is_set():
                self._forget(key, flight)
                flight.scope.cancel()

    async def _fly(self, key: Hashable, flight: _Flight[T], fn: Callable[[], Awaitable[T]]) -> None:
        try:
            with flight.scope:
                flight.results.append(await fn())
        except Exception as error:
            flight.error = error
            flight.traceback = error.__traceback__
        finally:
            self._forget(key, flight)
            flight.done.set()

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:  # a later one may have taken its place
            del self._flights[key]
