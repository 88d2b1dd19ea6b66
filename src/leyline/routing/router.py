"""Calls across services: which of them are asked, in what order, and whose answer counts."""

import functools
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from random import Random

from attrs import Factory, define, evolve, field

from leyline.arguments import listed
from leyline.calls import NO_BOOK, NOBODY, Audience, Bookkeeping, Call, Checkup, Roster
from leyline.clock import Clock
from leyline.config import UNSAID
from leyline.errors import (
    LeylineError,
    RegistryClosedError,
    RejectedError,
    ServiceUnavailableError,
)
from leyline.events import Events
from leyline.model import ExecutionResult
from leyline.process import Lifespan
from leyline.routing.candidate import Candidate
from leyline.routing.contest import AT_ONCE, Accept, check_accept
from leyline.routing.failover import Failover, Terms
from leyline.routing.hedging import Hedging
from leyline.routing.line import Line
from leyline.routing.map import Mapped, map_calls, mapped, requests
from leyline.routing.race import Race
from leyline.routing.requirements import Requirements, Strategy
from leyline.routing.selection import Verdict, explain, select
from leyline.routing.snapshot import candidates
from leyline.routing.told import told


@define(kw_only=True)
class Router:
    """Sends requests to the services of one registry."""

    roster: Roster
    checkup: Checkup
    clock: Clock
    events: Events
    book: Bookkeeping = NO_BOOK
    rng: Random
    line: Line = field(default=Factory(lambda router: Line(router.clock), takes_self=True))

    async def execute(self, service: str, request: Call, lifespan: Lifespan) -> ExecutionResult:
        """Ask one service. Raises what ``Service.execute`` does."""
        self.roster.find(service)
        start = functools.partial(self._ask, service, request, lifespan)
        return await self._told(request, start, service)

    async def stream(
        self, service: str, request: Call, lifespan: Lifespan, hear: Callable[[str], None]
    ) -> ExecutionResult:
        """As ``execute``, and tell *hear* the pieces of the answer; none is retried once begun."""
        begun = False

        def listen(piece: str) -> None:
            nonlocal begun
            begun = True
            hear(piece)

        start = functools.partial(
            self._ask,
            service,
            request,
            lifespan,
            may_repeat=lambda: not begun,
            audience=Audience(hear=listen),
        )
        return await self._told(request, start, service)

    async def failover(
        self,
        request: Call,
        lifespan: Lifespan,
        *,
        services: Sequence[str] | None,
        accept: Accept | None,
        insists: bool = False,
    ) -> ExecutionResult:
        """Ask one service after another; *insists*: one that throttled a run once more, later.

        Raises AllServicesFailedError, ServiceNotFoundError.
        """
        check_accept(accept)
        ladder, out = self._ladder(request, services)

        async def ask(service: str, terms: Terms) -> ExecutionResult:
            bounded = request if terms.seconds is None else evolve(request, deadline=terms.seconds)
            return await self._ask(
                service,
                bounded,
                lifespan,
                max_wait=terms.max_wait,
                may_repeat=lambda: terms.only,
                audience=Audience(impatient=not terms.last, started=terms.started),
            )

        run = Failover(
            services=ladder,
            out=out,
            ask=ask,
            seconds=request.limit,
            longest_wait=self._longest_wait(request, [*ladder, *(error.service for error in out)]),
            clock=self.clock,
            events=self.events,
            call=request.id,
            insists=insists,
            priority=request.priority,
            line=self.line,
        ).run
        start = functools.partial(run, group=lifespan.group, accept=accept)
        return await self._told(request, start)

    async def race(
        self,
        request: Call,
        lifespan: Lifespan,
        *,
        services: Sequence[str],
        stagger: float | str,
        accept: Accept | None,
    ) -> ExecutionResult:
        """Ask several side by side. Raises AllServicesFailedError, ServiceNotFoundError."""
        check_accept(accept)
        services = listed(services, "services")
        for service in services:
            self.roster.find(service)
        hedging = Hedging(self.roster, self.clock)

        async def ask(service: str, hedge: bool) -> ExecutionResult:
            max_wait = AT_ONCE if hedge else None
            return await self._ask(
                service,
                request,
                lifespan,
                max_wait=max_wait,
                may_repeat=lambda: False,
                counted=not hedge,
            )

        run = Race(
            services=services,
            stagger=hedging.stagger(stagger),
            pay=hedging.pay,
            ask=ask,
            clock=self.clock,
            events=self.events,
            call=request.id,
        ).run
        start = functools.partial(run, group=lifespan.group, accept=accept)
        return await self._told(request, start)

    def map(
        self,
        source: Iterable[str | Call] | AsyncIterable[str | Call],
        lifespan: Lifespan,
        *,
        services: Sequence[str] | None,
        concurrency: int,
        ordered: bool,
        accept: Accept | None,
    ) -> AsyncGenerator[Mapped, None]:
        """Answer all of *source*, each as ``failover`` does; waits for quotas without end."""
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        check_accept(accept)
        services = None if services is None else listed(services, "services")
        for name in services or ():
            self.roster.find(name)

        async def answer(index: int, call: Call) -> Mapped:
            begun = evolve(
                call,
                deadline=None if call.deadline is UNSAID else call.deadline,
                asked_at=self.clock.wall(),
                operation="map",
            )
            chosen = services if call.services is None else call.services
            ask = functools.partial(
                self.failover, begun, lifespan, services=chosen, accept=accept, insists=True
            )
            return await mapped(index, call, ask)

        return map_calls(
            requests(source, self.clock),
            answer,
            group=lifespan.group,
            concurrency=concurrency,
            ordered=ordered,
        )

    def select(self, requirements: Requirements, strategy: Strategy) -> str:
        """The service to use. Raises NoServiceFitsError, ServiceNotFoundError."""
        found = self._candidates(requirements, strategy)
        return select(found, requirements, strategy, rng=self.rng)

    def explain(self, requirements: Requirements, strategy: Strategy) -> tuple[Verdict, ...]:
        """What ``select`` makes of every service. Raises ServiceNotFoundError."""
        found = self._candidates(requirements, strategy)
        return explain(found, requirements, strategy, rng=self.rng)

    async def _told(
        self,
        request: Call,
        start: Callable[[], Awaitable[ExecutionResult]],
        service: str = "",
    ) -> ExecutionResult:
        """What *start* returns; that it began and ended is told, and written down if refused."""
        try:
            return await told(
                start,
                operation=request.operation,
                service=service,
                call=request.id,
                events=self.events,
                clock=self.clock,
            )
        except RegistryClosedError:
            raise
        except LeylineError as error:
            self.book.refused(error, request, service, at=self.clock.wall())
            raise

    async def _ask(
        self,
        name: str,
        request: Call,
        lifespan: Lifespan,
        *,
        max_wait: float | None = None,
        may_repeat: Callable[[], bool] = lambda: True,
        audience: Audience = NOBODY,
        counted: bool = True,
    ) -> ExecutionResult:
        """max_wait: Seconds until it has to start; None: as the request has it."""
        service = self.roster.find(name)
        call = request.bound_to(service.config)
        if max_wait is not None:
            call = evolve(call, max_wait=None if math.isinf(max_wait) else max_wait)
        return await service.execute(
            call,
            lifespan,
            secret_variables=self.roster.secret_variables(),
            queued_at=request.asked_at,
            may_repeat=may_repeat,
            audience=audience,
            counted=counted,
        )

    def _candidates(self, requirements: Requirements, strategy: Strategy) -> list[Candidate]:
        for name in (*(requirements.services or ()), *requirements.weights):
            self.roster.find(name)
        by_price = requirements.preferred(strategy) is Strategy.CHEAPEST
        return candidates(
            self.roster.values(),
            self.checkup,
            monotonic=self.clock.monotonic(),
            prices=(by_price or requirements.max_cost is not None) and (requirements.model or True),
        )

    def _ladder(
        self, request: Call, services: Sequence[str] | None
    ) -> tuple[list[str], list[RejectedError]]:
        """The services to be asked, in order, and those that cannot be used."""
        names = self.roster if services is None else listed(services, "services")
        chosen = [self.roster.find(name) for name in names]
        asked = Requirements(supports_files=bool(request.files), model=request.model)
        now = self.clock.monotonic()
        snapshots = candidates(chosen, self.checkup, monotonic=now, speeds=False)
        verdicts = explain(snapshots, asked, rng=self.rng)
        ladder = [verdict.name for verdict in verdicts if verdict.eligible]
        out: list[RejectedError] = [
            ServiceUnavailableError(verdict.name, verdict.reason, verdict.until)
            for verdict in verdicts
            if not verdict.eligible
        ]
        return ladder, out

    def _longest_wait(self, request: Call, ladder: Sequence[str]) -> float:
        """Seconds to wait for the first service that has room: as long as a run may take."""
        if request.deadline is not UNSAID:
            return math.inf if request.deadline is None else request.deadline
        timeouts = [request.bound_to(self.roster[name].config).max_wait for name in ladder]
        return max((math.inf if t is None else t for t in timeouts), default=0.0)
