"""The facade: looks a service up, forwards, returns. Also the seed's import path."""

import functools
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import MappingProxyType, TracebackType
from typing import Final, Self

from attrs import evolve

from leyline import health, services
from leyline.calls import Service
from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.config import UNSAID, ServiceConfig
from leyline.errors import (
    AllServicesFailedError,
    RegistryClosedError,
    ServiceExistsError,
    ServiceNotFoundError,
)
from leyline.model import Call, Completed, ExecutionResult, HealthReport
from leyline.process import Lifespan
from leyline.routing import fan_out

__all__ = ["AllServicesFailedError", "ExecutionResult", "ServiceConfig", "ServiceRegistry"]

_LIVE_PROMPT: Final = "Reply with the single word: ok"


class ServiceRegistry:
    """Services by name, and calls on them.

    ``async with`` gives it a task group to live in: stopped processes end in the background, and
    leaving the block waits for them. Without it, every call cleans up after itself before it
    returns. One event loop at a time; not for use from several threads.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """clock: Where durations, stamps and pauses come from."""
        self._clock = clock
        self._services: dict[str, Service] = {}
        self._board = health.HealthBoard()
        self._checks: health.SingleFlight[HealthReport] = health.SingleFlight()
        self._lifespan: Lifespan | None = None
        self._closed = False

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> "ServiceRegistry":
        """A registry of the services of a file (YAML or TOML).

        path: None looks in ``$LEYLINE_CONFIG``, ``./services.yaml``, the user's configuration
            folder and ``~/.claude/leyline/services.yaml``; where none exists, it is empty.
        Raises ConfigError with every problem of the file.
        """
        registry = cls()
        for name, config in services.load(path).items():
            registry.register(name, config)
        return registry

    async def __aenter__(self) -> Self:
        if self._closed or self._lifespan is not None:
            raise RegistryClosedError
        self._lifespan = await Lifespan(self._clock).__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._closed = True
        lifespan, self._lifespan = self._lifespan, None
        return await lifespan.__aexit__(exc_type, exc, traceback) if lifespan else None

    async def aclose(self) -> None:
        """Stop every process that runs, and wait until all of their trees have ended.

        Calls under way return a failure of kind ``cancelled``; later ones raise
        RegistryClosedError. Bounded by the services' grace and a few seconds; not cancellable.
        """
        self._closed = True
        if self._lifespan is not None:
            await self._lifespan.runner.aclose()

    @property
    def services(self) -> Mapping[str, ServiceConfig]:
        """What is registered, everything filled in, in the order of registration."""
        return MappingProxyType({name: s.config for name, s in self._services.items()})

    def register(self, name: str, config: ServiceConfig, *, replace: bool = False) -> None:
        """Add a service; what *config* leaves unsaid comes from the preset of its tool.

        Raises ConfigError with every problem of *config*, ServiceExistsError if *name* is taken
        and *replace* is not set. Nothing is run and nothing is looked up.
        """
        if name in self._services and not replace:
            raise ServiceExistsError(name)
        config = services.resolve(evolve(config, name=name))
        self._services[name] = Service.prepare(config)
        self._board.forget(name)

    def unregister(self, name: str) -> None:
        """Forget a service. Calls under way go on. Raises ServiceNotFoundError."""
        self._service(name)
        del self._services[name]
        self._board.forget(name)

    async def execute(
        self,
        service: str,
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None = None,
        *,
        model: str | None = None,
        timeout: float | None = UNSAID,
        cwd: str | os.PathLike[str] | None = None,
    ) -> ExecutionResult:
        """Run one prompt on one service.

        files: Paths, relative to *cwd*. model: None means the service's default; without
            ``{model}`` in its template, the tool makes its own choice.
        timeout: Seconds from the start of the process; None means no limit. Default: the
            service's ``timeout_seconds``. cwd: The tool's working directory; default: this one's.

        Returns a result whenever a process ran, also a failed one. Raises when none did:
        ServiceNotFoundError, InvalidCallError (and PromptTooLargeError), CommandNotFoundError,
        SpawnError, RegistryClosedError.

        Cancellation: the caller is back at once; the whole process tree is stopped behind it
        (without ``async with``: before this returns).
        """
        queued_at = self._clock.wall()
        chosen = self._service(service)
        call = Call(
            prompt=prompt,
            files=tuple(os.fspath(path) for path in files or ()),
            model=model,
            timeout=chosen.config.timeout_seconds if timeout is UNSAID else timeout,
            cwd=None if cwd is None else os.fspath(cwd),
        )
        async with self._open_lifespan() as lifespan:
            result = await chosen.execute(
                call,
                lifespan.runner,
                secret_variables=self._secret_variables(),
                queued_at=queued_at,
            )
        if self._registered(chosen):
            self._board.observe(service, result, self._clock.wall())
        return result

    execute_async = execute
    """The seed's name for ``execute``."""

    async def execute_parallel(
        self,
        services: Sequence[str],
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None = None,
        *,
        model: str | None = None,
        timeout: float | None = UNSAID,
        cwd: str | os.PathLike[str] | None = None,
    ) -> dict[str, ExecutionResult]:
        """Run one prompt on several services at the same time; parameters as for ``execute``.

        Returns one result per service, in the order given. Never raises for one of them: where
        nothing could be started, the result's failure says why. Raises RegistryClosedError.
        Cancellation: stops them all.
        """
        if self._closed:
            raise RegistryClosedError
        ask = functools.partial(
            self.execute, prompt=prompt, files=files, model=model, timeout=timeout, cwd=cwd
        )
        return await fan_out(services, ask)

    async def health_check(self, name: str, *, live: bool = False) -> HealthReport:
        """Check one service now: is it installed, is somebody logged in.

        live: Also send a real prompt, which costs what a prompt costs.

        Returns a report that is true if the service is usable and says why if not. Inside
        ``async with``, callers at the same time share one check.
        Raises ServiceNotFoundError, RegistryClosedError.
        Cancellation: the check goes on for the other callers; without any, it is stopped.
        """
        service = self._service(name)
        async with self._open_lifespan() as lifespan:
            return await self._checks.run(
                (service, live, lifespan.group),
                functools.partial(self._probe, service, lifespan, live=live),
                lifespan.group,
            )

    async def health_check_all(
        self, *, live: bool = False, on_report: Callable[[HealthReport], None] | None = None
    ) -> dict[str, HealthReport]:
        """Check every service, all at the same time; parameters as for ``health_check``.

        on_report: Called with each report as it arrives.
        """
        check_one = functools.partial(self.health_check, live=live)
        return await health.check_all(tuple(self._services), check_one, on_report=on_report)

    def health(self, name: str) -> HealthReport:
        """What is known of a service, from checks and from real calls. Runs nothing."""
        self._service(name)
        return self._board.report(name, self._clock.wall())

    def get_healthy_services(self) -> list[str]:
        """Services that are not known to be unusable, in the order of registration."""
        return self._board.usable(tuple(self._services), self._clock.wall())

    def start_health_monitor(self, interval: float = 60.0) -> None:
        """Check every service about each *interval* seconds until the registry is closed.

        Unhealthy ones are asked again after 5 s, then less and less often. Only inside
        ``async with``: raises RegistryClosedError elsewhere, ValueError if *interval* is not
        positive.
        """
        if not interval > 0:
            raise ValueError(f"interval must be a positive number of seconds, got {interval}")
        if self._lifespan is None:
            raise RegistryClosedError
        self._lifespan.group.start_soon(
            functools.partial(
                health.monitor,
                lambda: tuple(self._services),
                self.health_check,
                interval=interval,
                rng=Random(),  # noqa: S311  (spreads checks; nothing secret)
                clock=self._clock,
            )
        )

    async def _probe(self, service: Service, lifespan: Lifespan, *, live: bool) -> HealthReport:
        secret_variables = self._secret_variables()

        async def run(argv: tuple[str, ...], /, *, timeout: float) -> Completed:
            return await service.run_check(
                argv, lifespan.runner, timeout=timeout, secret_variables=secret_variables
            )

        async def ask() -> ExecutionResult:
            result = await service.execute(
                Call(prompt=_LIVE_PROMPT, timeout=service.config.timeout_seconds),
                lifespan.runner,
                secret_variables=secret_variables,
                queued_at=self._clock.wall(),
            )
            limited = result.failure is not None and result.failure.kind in health.LIMITED
            if limited and self._registered(service):  # a report does not say until when
                self._board.observe(service.config.name, result, self._clock.wall())
            return result

        report = await health.probe(
            service.config, run, environ=os.environ, live=ask if live else None, clock=self._clock
        )
        if self._registered(service):
            self._board.record(report, self._clock.wall())
        return report

    def _service(self, name: str) -> Service:
        try:
            return self._services[name]
        except KeyError:
            raise ServiceNotFoundError(name, tuple(self._services)) from None

    def _registered(self, service: Service) -> bool:
        """Whether *service* has been neither replaced nor removed since it was looked up."""
        return self._services.get(service.config.name) is service

    def _secret_variables(self) -> frozenset[str]:
        return frozenset(
            service.config.auth_env_var
            for service in self._services.values()
            if service.config.auth_env_var
        )

    @asynccontextmanager
    async def _open_lifespan(self) -> AsyncGenerator[Lifespan, None]:
        """The registry's own lifespan, or one for this call alone."""
        if self._closed:
            raise RegistryClosedError
        if self._lifespan is not None:
            yield self._lifespan
        else:
            async with Lifespan(self._clock) as lifespan:
                yield lifespan
