"""A router over services whose runs are scripted in virtual time."""

from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

from attrs import define, evolve, field

from leyline.calls import Call, Checkup, Roster
from leyline.events import Event, Events
from leyline.model import ExecutionResult
from leyline.process import Lifespan
from leyline.routing import Router
from leyline.routing.contest import Accept
from tests.calls.scripted import Scripted, Tool
from tests.calls.scripted import service as config
from tests.virtual import VIRTUAL_CLOCK


@define(eq=False)
class Fleet:
    """Services by name, in ``async with``. events: What was told of calls across them."""

    scripted: dict[str, Scripted] = field(factory=dict[str, Scripted], init=False)
    events: list[Event] = field(factory=list[Event], init=False)
    router: Router = field(init=False)
    lifespan: Lifespan = field(init=False)

    def __attrs_post_init__(self) -> None:
        events, roster = Events(self.events.append), Roster()
        self.router = Router(
            roster=roster,
            checkup=Checkup(roster, VIRTUAL_CLOCK, events),
            clock=VIRTUAL_CLOCK,
            events=events,
            rng=Random(1),
        )

    def add(self, name: str, tool: Tool, **fields: Any) -> Scripted:
        scripted = Scripted(tool=tool, config=evolve(config(**fields), name=name), told=False)
        self.scripted[name] = scripted
        self.router.roster.add(scripted.service, replace=False)
        return scripted

    async def __aenter__(self) -> Self:
        self.lifespan = await Lifespan(VIRTUAL_CLOCK).__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self.lifespan.__aexit__(exc_type, exc, traceback)

    async def race(
        self,
        services: Sequence[str],
        *,
        stagger: float | str = 0.0,
        accept: Accept | None = None,
        **options: Any,
    ) -> ExecutionResult:
        request = Call.of("hello", None, VIRTUAL_CLOCK.wall(), **options)
        return await self.router.race(
            request, self.lifespan, services=services, stagger=stagger, accept=accept
        )

    async def failover(
        self, services: Sequence[str] | None = None, *, accept: Accept | None = None, **options: Any
    ) -> ExecutionResult:
        request = Call.of("hello", None, VIRTUAL_CLOCK.wall(), **options)
        return await self.router.failover(request, self.lifespan, services=services, accept=accept)

    def told_of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]
