"""Where calls of a registry live: one task group for all of them, or one for each."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final

from leyline.clock import Clock
from leyline.errors import RegistryClosedError
from leyline.gather import gather
from leyline.process import Lifespan
from leyline.quota import Store
from leyline.usage import UsageLog

_NOT_OPEN: Final = (
    "the registry is not open; open it with: async with ServiceRegistry(...) as registry"
)
_OPEN_ALREADY: Final = "the registry is open already; use it as it is, or make another one"


class Residence:
    """A lifespan that is open from ``enter`` to ``leave``; guests outside bring one of their own.

    The store of the quotas and the book are let go of when nobody is left.
    """

    def __init__(self, store: Store, usage: UsageLog | None, clock: Clock) -> None:
        self._store = store
        self._usage = usage
        self._clock = clock
        self._own: Lifespan | None = None
        self._guests: set[Lifespan] = set()
        self.closed = False

    @property
    def own(self) -> Lifespan:
        """The open lifespan. Raises RegistryClosedError if there is none."""
        if self.closed:
            raise RegistryClosedError
        if self._own is None:
            raise RegistryClosedError(_NOT_OPEN)
        return self._own

    async def enter(self) -> None:
        """Open it, once. Raises RegistryClosedError."""
        if self.closed:
            raise RegistryClosedError
        if self._own is not None:
            raise RegistryClosedError(_OPEN_ALREADY)
        self._own = await Lifespan(self._clock).__aenter__()

    async def leave(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close it, and wait until nothing of it is left."""
        self.closed = True
        own, self._own = self._own, None
        try:
            return await own.__aexit__(exc_type, exc, traceback) if own else None
        finally:
            await self._let_go()

    async def aclose(self) -> None:
        """Stop every process that runs, also those of guests, and start none any more."""
        self.closed = True
        lifespans = self._guests if self._own is None else {self._own, *self._guests}
        await gather({lifespan: lifespan.runner.aclose for lifespan in lifespans})

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Lifespan, None]:
        """The open lifespan, or one for this call alone. Raises RegistryClosedError."""
        if self.closed:
            raise RegistryClosedError
        if self._own is not None:
            yield self._own
            return
        guest = Lifespan(self._clock)
        self._guests.add(guest)
        try:
            async with guest as lifespan:
                yield lifespan
        finally:
            self._guests.remove(guest)
            await self._let_go()

    async def _let_go(self) -> None:
        """Close the store of the quotas, and the book, if nobody is left who writes into them."""
        if self._own is not None or self._guests:
            return
        try:
            await self._store.aclose()
        finally:
            if self._usage is not None:
                await self._usage.aclose()
