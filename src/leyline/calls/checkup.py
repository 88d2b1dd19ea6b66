"""The health of a registry's services: checks with live processes, and what real calls showed."""

import functools
import os
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

import anyio

from leyline import health
from leyline.calls.roster import Roster
from leyline.calls.service import Service
from leyline.clock import Clock
from leyline.events import Events, HealthChanged
from leyline.model import BoundCall, Completed, ExecutionResult, HealthReport
from leyline.process import Lifespan

_LIVE_PROMPT: Final = "Reply with the single word: ok"


class Checkup:
    """Checks services, one check at a time for each, and keeps what is known of them."""

    def __init__(self, roster: Roster, clock: Clock, events: Events) -> None:
        self._roster = roster
        self._clock = clock
        self._events = events
        self._board = health.HealthBoard()
        self._monitoring: anyio.CancelScope | None = None
        self._checks: health.SingleFlight[HealthReport] = health.SingleFlight()

    async def check(self, service: Service, lifespan: Lifespan, *, live: bool) -> HealthReport:
        """Check *service* now, or share the check that is under way in the same *lifespan*."""
        return await self._checks.run(
            (service, live, lifespan.group),
            functools.partial(self._check, service, lifespan, live=live),
            lifespan.group,
        )

    async def monitor(
        self, check: Callable[[str], Awaitable[HealthReport]], *, interval: float, rng: Random
    ) -> None:
        """*check* every service about each *interval* seconds, until another monitor begins."""
        if self._monitoring is not None:
            self._monitoring.cancel()
        names = functools.partial(tuple, self._roster)
        with anyio.CancelScope() as self._monitoring:
            await health.monitor(names, check, interval=interval, rng=rng, clock=self._clock)

    def observe(self, service: Service, result: ExecutionResult) -> None:
        """Take in how a real call went, unless it speaks of a service that is gone."""
        if self._roster.holds(service):
            with self._watched(service.config.name):
                self._board.observe(service.config.name, result, self._clock.wall())

    def report(self, name: str) -> HealthReport:
        """What is known of the service *name*."""
        return self._board.report(name, self._clock.wall())

    def usable(self, names: Sequence[str]) -> list[str]:
        """Those of *names* that are not known to be down."""
        return self._board.usable(names, self._clock.wall())

    def forget(self, name: str) -> None:
        """Drop all that is known of the service *name*."""
        self._board.forget(name)

    async def _check(self, service: Service, lifespan: Lifespan, *, live: bool) -> HealthReport:
        secret_variables = self._roster.secret_variables()

        async def run(argv: tuple[str, ...], /, *, timeout: float) -> Completed:
            return await service.run_check(
                argv, lifespan.runner, timeout=timeout, secret_variables=secret_variables
            )

        async def ask() -> ExecutionResult:
            seconds = service.config.timeout_seconds
            return await service.execute(
                BoundCall(prompt=_LIVE_PROMPT, timeout=seconds, max_wait=seconds),
                lifespan,
                secret_variables=secret_variables,
                queued_at=self._clock.wall(),
                may_repeat=lambda: False,
            )

        report = await health.probe(
            service.config, run, environ=os.environ, live=ask if live else None, clock=self._clock
        )
        if self._roster.holds(service):
            with self._watched(service.config.name):
                self._board.record(report, self._clock.wall())
            if report.installed:
                service.restore()
        return report

    @contextmanager
    def _watched(self, name: str) -> Generator[None]:
        """Tell of it if the service is in another state afterwards."""
        if not self._events:
            yield
            return
        before = self.report(name).status
        yield
        after = self.report(name)
        if after.status is not before:
            self._events.emit(
                HealthChanged(
                    service=name,
                    at=self._clock.wall(),
                    before=before,
                    after=after.status,
                    reason=after.reason,
                )
            )
