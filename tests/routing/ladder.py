"""A cascade over services that do as scripted, in virtual time."""

import math
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from attrs import define, field

from leyline.errors import (
    AllServicesFailedError,
    LeylineError,
    QuotaExceededError,
    RejectedError,
)
from leyline.events import Event, Events, FailedOver
from leyline.model import ExecutionResult, Failure, FailureKind
from leyline.process import Lifespan
from leyline.routing.contest import Accept
from leyline.routing.failover import Failover, Terms
from leyline.routing.line import Line
from tests.virtual import VIRTUAL_CLOCK


def good(service: str, text: str = "") -> ExecutionResult:
    return ExecutionResult(success=True, service=service, text=text)


def bad(service: str, kind: FailureKind = FailureKind.SERVER, **more: float) -> ExecutionResult:
    return ExecutionResult(service=service, failure=Failure(kind=kind, message="no", **more))


Tool = Callable[[Terms], Awaitable[ExecutionResult]]


@define
class Ladder:
    """Services that do as scripted, and what they were asked."""

    tools: dict[str, Tool]
    asked: list[tuple[float, str, Terms]] = field(factory=list)
    ran: list[str] = field(factory=list)
    events: list[Event] = field(factory=list)
    line: Line = field(factory=lambda: Line(VIRTUAL_CLOCK))

    async def ask(self, service: str, terms: Terms, /) -> ExecutionResult:
        self.asked.append((anyio.current_time(), service, terms))
        assert len(self.asked) < 1000, "asked without end"
        result = await self.tools[service](terms)
        self.ran.append(service)
        return result

    async def run(
        self,
        *,
        seconds: float | None = None,
        longest_wait: float = 60.0,
        out: Sequence[RejectedError] = (),
        accept: Accept | None = None,
    ) -> ExecutionResult:
        gone = {error.service for error in out}
        failover = Failover(
            services=[name for name in self.tools if name not in gone],
            out=out,
            ask=self.ask,
            seconds=seconds,
            longest_wait=longest_wait,
            clock=VIRTUAL_CLOCK,
            events=Events(self.events.append),
            call="c",
            line=self.line,
        )
        async with Lifespan(VIRTUAL_CLOCK) as lifespan:
            return await failover.run(group=lifespan.group, accept=accept)

    @property
    def order(self) -> list[str]:
        return [service for _, service, _ in self.asked]

    @property
    def hops(self) -> list[tuple[str, str, str]]:
        return [
            (event.origin, event.service, event.reason)
            for event in self.events
            if isinstance(event, FailedOver)
        ]


def says(outcome: ExecutionResult | LeylineError, *, after: float = 1.0) -> Tool:
    async def tool(_: Terms) -> ExecutionResult:
        if isinstance(outcome, LeylineError):
            raise outcome
        await anyio.sleep(after)
        return outcome

    return tool


def hangs(service: str) -> Tool:
    async def tool(terms: Terms) -> ExecutionResult:
        await anyio.sleep(math.inf if terms.seconds is None else terms.seconds)
        return bad(service, FailureKind.TIMEOUT)

    return tool


def opens(service: str, at: float, *, after: float = 1.0) -> Tool:
    """Its quota has room from *at* on; who may wait so long waits in its queue."""

    async def tool(terms: Terms) -> ExecutionResult:
        wait = at - anyio.current_time()
        if wait > terms.max_wait:
            raise QuotaExceededError(service, "60 of 60", wait, "rpm", 60, 60)
        await anyio.sleep(max(0.0, wait))
        await anyio.sleep(after)
        return good(service)

    return tool


def busy(service: str, until: float) -> Tool:
    """All its runs are under way; nobody knows for how long."""

    async def tool(terms: Terms) -> ExecutionResult:
        wait = until - anyio.current_time()
        await anyio.sleep(max(0.0, min(wait, terms.max_wait)))
        if wait > terms.max_wait:
            raise QuotaExceededError(service, "busy", None, "concurrent", 1, 1)
        await anyio.sleep(1)
        return good(service)

    return tool


async def all_failed(ladder: Ladder, **options: object) -> AllServicesFailedError:
    with pytest.raises(AllServicesFailedError) as caught:
        await ladder.run(**options)  # type: ignore[arg-type]
    return caught.value
