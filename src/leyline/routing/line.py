"""Those who wait until any of several services has room: at each of them one at a time."""

import itertools
import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from operator import itemgetter
from typing import Final

import anyio
from attrs import define, field

from leyline.clock import Clock
from leyline.model import Priority

PATIENCE: Final = 1.0
"""Seconds for which one waits at a service, before it may be another that has room first."""

_STEP: Final = 1000
"""So many of a higher class that come later go before one of the class below."""


@define(eq=False)
class Place:
    """One in the line. opens: When each service that it waits for is said to have room.

    holds: The service that it may wait at. None: it is in the line, or gone.
    """

    rank: tuple[int, int]
    opens: Mapping[str, float] = field(factory=dict[str, float])
    holds: str | None = None
    news: anyio.Event = field(factory=anyio.Event)


@define(eq=False)
class Line:
    """Whoever is first goes to the service that has room first, and is followed when it starts.

    So nobody is bound to a service whose quota is short while that of another is left unused.
    """

    clock: Clock
    _held: set[str] = field(factory=set[str], init=False)
    _queues: dict[str, list[Place]] = field(factory=dict[str, list[Place]], init=False)
    _numbers: "itertools.count[int]" = field(factory=itertools.count, init=False)

    def place(self, priority: Priority = Priority.NORMAL) -> Place:
        """A place behind all others of its class; it is kept while its services are asked."""
        number = next(self._numbers)
        return Place((number + _STEP * priority, number))

    async def turn(self, place: Place, opens: Mapping[str, float], *, until: float) -> str | None:
        """The service that *place* may wait at now; ``leave`` it as soon as its run has started.

        opens: When each is said to have room, and *until* when it is waited for, in monotonic
        seconds. None: none has room by then.
        """
        place.opens = {service: at for service, at in opens.items() if at < until}
        for name in place.opens:
            insort(self._queues.setdefault(name, []), place, key=_rank)
        try:
            while place.opens:
                now = self.clock.monotonic()
                service, due = self._best(place)
                if service is not None and due <= now:
                    self._held.add(service)
                    place.holds = service
                    return service
                if until <= now:
                    return None
                place.news = anyio.Event()
                with anyio.move_on_after(min(due, until) - now):
                    await place.news.wait()
            return None
        finally:
            self._step_out(place)

    def leave(self, place: Place) -> None:
        """The service that *place* held, if any, is the next one's to wait at."""
        if place.holds is not None:
            self._held.discard(place.holds)
            self._tell_first(place.holds)
            place.holds = None

    def _best(self, place: Place) -> tuple[str | None, float]:
        """The service where it is the turn of *place*, and when it may go there."""
        mine = [
            (opens, service)
            for service, opens in place.opens.items()
            if service not in self._held and self._queues[service][0] is place
        ]
        if not mine:
            return None, math.inf
        opens, service = min(mine, key=itemgetter(0))
        return service, opens - PATIENCE

    def _step_out(self, place: Place) -> None:
        for service in place.opens:
            queue = self._queues[service]
            del queue[bisect_left(queue, place.rank, key=_rank)]
            if not queue:
                del self._queues[service]
            self._tell_first(service)

    def _tell_first(self, service: str) -> None:
        if service in self._queues:
            self._queues[service][0].news.set()


def _rank(place: Place) -> tuple[int, int]:
    return place.rank
