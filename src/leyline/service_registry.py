"""The facade: looks a service up, forwards, returns. Also the seed's import path."""

import functools
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import MappingProxyType, TracebackType
from typing import Self

from attrs import evolve

from leyline import health, services
from leyline.calls import Checkup, Roster, Service
from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.config import UNSAID, ServiceConfig
from leyline.errors import AllServicesFailedError, RegistryClosedError
from leyline.events import EventHook, Events
from leyline.model import Call, ExecutionResult, HealthReport, Priority
from leyline.process import Lifespan
from leyline.quota import AccountStatus, Ledger, QuotaStatus, Store, quota_status
from leyline.routing import fan_out

__all__ = ["AllServicesFailedError", "ExecutionResult", "ServiceConfig", "ServiceRegistry"]


class ServiceRegistry:
    """Services by name, and calls on them.

    ``async with`` gives it a task group to live in: stopped processes end in the background, and
    leaving the block waits for them. Without it, every call cleans up after itself before it
    returns. One event loop at a time; not for use from several threads.
    """

    def __init__(
        self,
        state: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        on_event: EventHook | None = None,
    ) -> None:
        """state: Where quotas are kept: a path (SQLite), ``":memory:"`` or a ``redis://`` URL;
            None: a file in the user's state folder. Opened when a service with a quota is asked.
        clock: Where durations, stamps and pauses come from.
        on_event: A plain function that is told what happens, such as a quota's new level; what it
            raises is logged and changes nothing. Raises TypeError if it is async.
        """
        self._events = Events(on_event)
        self._clock = clock
        self._store = Store.at(state, clock)
        self._services = Roster()
        self._checkup = Checkup(self._services, clock)
        self._lifespan: Lifespan | None = None
        self._guests = 0  # calls outside ``async with``
        self._closed = False

    @classmethod
    def from_config(
        cls,
        path: str | Path | None = None,
        state: str | os.PathLike[str] | None = None,
        *,
        on_event: EventHook | None = None,
    ) -> "ServiceRegistry":
        """A registry of the services of a file (YAML or TOML); the rest as for the class.

        path: None looks in ``$LEYLINE_CONFIG``, ``./services.yaml``, the user's configuration
            folder and ``~/.claude/leyline/services.yaml``; where none exists, it is empty.
        Raises ConfigError with every problem of the file.
        """
        registry = cls(state, on_event=on_event)
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
        try:
            return await lifespan.__aexit__(exc_type, exc, traceback) if lifespan else None
        finally:
            await self._store.aclose()

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
        config = services.resolve(evolve(config, name=name))
        service = Service.prepare(config, self._store, self._clock, self._events)
        self._services.add(service, replace=replace)
        self._checkup.forget(name)

    def unregister(self, name: str) -> None:
        """Forget a service. Calls under way go on. Raises ServiceNotFoundError."""
        self._services.find(name)
        del self._services[name]
        self._checkup.forget(name)

    async def execute(
        self,
        service: str,
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None = None,
        *,
        model: str | None = None,
        timeout: float | None = UNSAID,
        deadline: float | None = UNSAID,
        priority: Priority = Priority.NORMAL,
        cwd: str | os.PathLike[str] | None = None,
    ) -> ExecutionResult:
        """Run one prompt on one service, as soon as its quota allows it.

        files: Paths, relative to *cwd*. model: None means the service's default; without
            ``{model}`` in its template, the tool makes its own choice.
        timeout: Seconds from the start of the process; None means no limit. Default: the
            service's ``timeout_seconds``. cwd: The tool's working directory; default: this one's.
        deadline: Seconds from now for everything, waiting included; None means to wait as long as
            it takes. Default: the start may be waited for as long as the run may take.
        priority: Before or after other calls of this process that wait for the same quota.

        Returns a result whenever a process ran, also a failed one. Raises when none did:
        ServiceNotFoundError, InvalidCallError (and PromptTooLargeError), CommandNotFoundError,
        SpawnError, RegistryClosedError; QuotaExceededError, at once, if it cannot start in time;
        LedgerError if the quotas cannot be read or written. What was reserved is given back then.

        Cancellation: the caller is back at once; the whole process tree is stopped behind it
        (without ``async with``: before this returns).
        """
        queued_at = self._clock.wall()
        chosen = self._services.find(service)
        seconds = chosen.config.timeout_seconds if timeout is UNSAID else timeout
        call = Call(
            prompt=prompt,
            files=tuple(os.fspath(path) for path in files or ()),
            model=model,
            timeout=seconds,
            cwd=None if cwd is None else os.fspath(cwd),
            max_wait=seconds if deadline is UNSAID else deadline,
            deadline=None if deadline is UNSAID else deadline,
            priority=priority,
        )
        async with self._open_lifespan() as lifespan:
            result = await chosen.execute(
                call,
                lifespan,
                secret_variables=self._services.secret_variables(),
                queued_at=queued_at,
            )
        self._checkup.observe(chosen, result)
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
        deadline: float | None = UNSAID,
        priority: Priority = Priority.NORMAL,
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
            self.execute,
            prompt=prompt,
            files=files,
            model=model,
            timeout=timeout,
            deadline=deadline,
            priority=priority,
            cwd=cwd,
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
        service = self._services.find(name)
        async with self._open_lifespan() as lifespan:
            return await self._checkup.check(service, lifespan, live=live)

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
        self._services.find(name)
        return self._checkup.report(name)

    def get_healthy_services(self) -> list[str]:
        """Services that are not known to be unusable, in the order of registration."""
        return self._checkup.usable(tuple(self._services))

    async def quota_status(self, name: str) -> QuotaStatus:
        """How much of a service's quota is used, by all who share it, and when it is free again.

        Raises ServiceNotFoundError, LedgerError. Books nothing.
        """
        meter = self._services.find(name).meter
        if meter is None:
            return quota_status(name, name, AccountStatus(limits=()))
        async with self._open_lifespan():
            status = await meter.admission.status()
        return quota_status(name, meter.account, status)

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

    @asynccontextmanager
    async def _open_lifespan(self) -> AsyncGenerator[Lifespan, None]:
        """The registry's own lifespan, or one for this call alone."""
        if self._closed:
            raise RegistryClosedError
        if self._lifespan is not None:
            yield self._lifespan
        else:
            self._guests += 1
            try:
                async with Lifespan(self._clock) as lifespan:
                    yield lifespan
            finally:
                self._guests -= 1
                if not self._guests:
                    await self._store.aclose()
