"""The facade: looks a service up, forwards, returns. Also the seed's import path."""

import functools
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Unpack

from leyline import health
from leyline.arguments import listed
from leyline.calls import Call, CallOptions
from leyline.config import UNSAID, ServiceConfig
from leyline.errors import AllServicesFailedError, RegistryClosedError
from leyline.model import ExecutionResult, HealthReport, Priority
from leyline.quota import AccountStatus, QuotaStatus, quota_status
from leyline.registration import Registration
from leyline.routing import Accept, Requirements, Strategy, Verdict, fan_out
from leyline.routing.map import Mapped
from leyline.routing.requirements import strategy_of
from leyline.routing.stream import AnswerStream, open_stream

__all__ = ["AllServicesFailedError", "ExecutionResult", "ServiceConfig", "ServiceRegistry"]


class ServiceRegistry(Registration):
    """Services by name, and calls on them.

    ``async with`` gives it a task group to live in: stopped processes end in the background, and
    leaving the block waits for them. Without it, every call cleans up after itself before it
    returns. One event loop at a time; not for use from several threads.
    """

    def pipeline(self, name: str) -> tuple[str, ...]:
        """What a call on a service goes through, the outermost first: ``retry``, … ``run``.

        What the configuration switches off is absent. Raises ServiceNotFoundError.
        """
        return self._services.find(name).pipeline

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
        """Run one prompt on one service, as soon as its quota allows it; again if that may help.

        files: Paths, relative to *cwd*. model: None means the service's default; without
            ``{model}`` in its template, the tool makes its own choice.
        timeout: Seconds from the start of the process; None means no limit. Default: the
            service's ``timeout_seconds``. cwd: The tool's working directory; default: this one's.
        deadline: Seconds from now for everything, waiting and retries included; None means to
            wait as long as it takes. Default: the start may be waited for as long as the run may
            take, each time.
        priority: Before or after other calls of this process that wait for the same quota.

        Returns a result whenever a process ran, also a failed one. Raises when none did:
        ServiceNotFoundError, InvalidCallError (and PromptTooLargeError), CommandNotFoundError,
        SpawnError, RegistryClosedError; QuotaExceededError, at once, if it cannot start in time;
        ServiceUnavailableError while its breaker is open; LedgerError if the quotas cannot be
        read or written. What was reserved is given back then.

        Cancellation: the caller is back at once; the whole process tree is stopped behind it
        (without ``async with``: before this returns).
        """
        request = self._request(
            "execute",
            prompt,
            files,
            model=model,
            timeout=timeout,
            deadline=deadline,
            priority=priority,
            cwd=cwd,
        )
        async with self._residence.open() as lifespan:
            return await self._router.execute(service, request, lifespan)

    execute_async = execute
    """The seed's name for ``execute``."""

    @asynccontextmanager
    async def stream(
        self,
        service: str,
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[AnswerStream, None]:
        """Run one prompt and see its answer grow; parameters as for ``execute``.

        ``async with registry.stream(service, prompt) as stream: async for event in stream: ...``
        gives a ``TextDelta`` for each piece of text as the tool writes it, in the pieces that the
        tool writes, and a ``Finished`` with the result at the end. Errors of ``execute`` are raised
        by the iteration. Once a piece has been given, nothing is tried again.

        Leaving the block early stops the tool, behind the caller.
        """
        request = self._request("stream", prompt, files, **options)
        self._services.find(service)
        async with self._residence.open() as lifespan:
            start = functools.partial(self._router.stream, service, request, lifespan)
            async with open_stream(start, lifespan.group) as stream:
                yield stream

    async def execute_with_failover(
        self,
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None = None,
        services: Sequence[str] | None = None,
        *,
        accept: Accept | None = None,
        **options: Unpack[CallOptions],
    ) -> ExecutionResult:
        """Run one prompt on the first service that answers it; *options* as for ``execute``.

        services: In the order to be asked in; None: all, as registered. What is known not to be
            usable is left out; what cannot start at once is passed over, and waited for only if
            no other answers.
        accept: Whether a successful result is good enough; else the next service is asked.
        deadline: For all of them together; of a service that hangs, time is kept for later ones.

        Raises AllServicesFailedError with each service and why, ServiceNotFoundError,
        RegistryClosedError. No service is run twice, unless it is the only one. Cancellation: as
        for ``execute``.
        """
        request = self._request("execute_with_failover", prompt, files, **options)
        async with self._residence.open() as lifespan:
            return await self._router.failover(request, lifespan, services=services, accept=accept)

    async def race(
        self,
        prompt: str,
        services: Sequence[str],
        files: Sequence[str | os.PathLike[str]] | None = None,
        *,
        stagger: float | str = 0.0,
        accept: Accept | None = None,
        **options: Unpack[CallOptions],
    ) -> ExecutionResult:
        """Run one prompt on several services; the first success wins, and the others are stopped.

        services: In the order to be asked in. The same one twice: a second try beside a slow one.
        stagger: Seconds that each is left alone before the next is asked too (a hedge), or
            ``"p95"``: as long as 95 of 100 recent runs of it took (also ``p50`` to ``p99``). 0: all
            at once. A hedge starts at once or not at all, and within the service's budget. One
            that fails is followed by the next at once.
        accept: Whether a successful result is good enough to win. *options* as for ``execute``.

        Raises AllServicesFailedError if none wins, ServiceNotFoundError, ValueError for a wrong
        *stagger*. Losers settle what they used. Cancellation: stops them all.
        """
        request = self._request("race", prompt, files, **options)
        async with self._residence.open() as lifespan:
            return await self._router.race(
                request, lifespan, services=services, stagger=stagger, accept=accept
            )

    def map(
        self,
        calls: Iterable[str | Call] | AsyncIterable[str | Call],
        *,
        services: Sequence[str] | None = None,
        concurrency: int = 32,
        ordered: bool = False,
        accept: Accept | None = None,
    ) -> AsyncGenerator[Mapped, None]:
        """Answer many prompts, each by the first service that can: results as they are done.

        calls: Prompts, or ``Call``s, from any iterable of any length; an item is taken only
            when it can begin. services, accept: As for ``execute_with_failover``.
        concurrency: How many at once. ordered: In the order of *calls* instead.

        Quotas decide the pace: an item waits for room as long as it takes, and one that a service
        throttled is asked again. One that nobody answers is a result too, with its error. Memory
        does not depend on how many there are.
        Only inside ``async with``: raises RegistryClosedError elsewhere; ValueError,
        ServiceNotFoundError, TypeError. Leaving the loop stops what is under way (at once by
        ``contextlib.aclosing``; else when the iterator is let go of). Where *calls* itself raises,
        what had begun is given first.
        """
        return self._router.map(
            calls,
            self._residence.own,
            services=services,
            concurrency=concurrency,
            ordered=ordered,
            accept=accept,
        )

    async def execute_parallel(
        self,
        services: Sequence[str],
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None = None,
        *,
        quorum: int | None = None,
        **options: Unpack[CallOptions],
    ) -> dict[str, ExecutionResult]:
        """Run one prompt on several services at the same time; *options* as for ``execute``.

        quorum: Return once so many have succeeded, and stop the others. None: wait for all.

        Returns one result per service, in the order given. Never raises for one of them: where
        nothing could be started, the result's failure says why. Raises RegistryClosedError.
        Cancellation: stops them all.
        """
        if self._residence.closed:
            raise RegistryClosedError
        ask = functools.partial(self.execute, prompt=prompt, files=files, **options)
        return await fan_out(listed(services, "services"), ask, quorum=quorum)

    def select_service(
        self,
        requirements: Mapping[str, Any] | None = None,
        *,
        strategy: Strategy | str = Strategy.ORDERED,
    ) -> str:
        """The service to use for what is asked; see ``Requirements`` for the words. Runs nothing.

        strategy: Which of those that fit: ``ordered``, ``fastest``, ``most_quota``, ``cheapest``,
            ``weighted``; one in *requirements* goes first. Ties: the one registered first.

        Raises NoServiceFitsError with the reason of each, ConfigError for requirements that are
        wrong, ServiceNotFoundError.
        """
        return self._router.select(Requirements.read(requirements), strategy_of(strategy))

    def explain(
        self,
        requirements: Mapping[str, Any] | None = None,
        *,
        strategy: Strategy | str = Strategy.ORDERED,
    ) -> tuple[Verdict, ...]:
        """Every service with its score, or why it is out and until when: the best first.

        Parameters and errors as for ``select_service``, but that none fits is no error.
        """
        return self._router.explain(Requirements.read(requirements), strategy_of(strategy))

    async def health_check(self, name: str, *, live: bool = False) -> HealthReport:
        """Check one service now: is it installed, is somebody logged in.

        live: Also send a real prompt, which costs what a prompt costs.

        Returns a report that is true if the service is usable and says why if not. Inside
        ``async with``, callers at the same time share one check.
        Raises ServiceNotFoundError, RegistryClosedError.
        Cancellation: the check goes on for the other callers; without any, it is stopped.
        """
        service = self._services.find(name)
        async with self._residence.open() as lifespan:
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
        async with self._residence.open():
            status = await meter.admission.status()
        return quota_status(name, meter.account, status)

    def start_health_monitor(self, interval: float = 60.0) -> None:
        """Check every service about each *interval* seconds until the registry is closed.

        Unhealthy ones are asked again after 5 s, then less and less often. One that was started
        before ends, and this takes its place. Only inside ``async with``: raises
        RegistryClosedError elsewhere, ValueError if *interval* is not positive.
        """
        if not interval > 0:
            raise ValueError(f"interval must be a positive number of seconds, got {interval}")
        watch = functools.partial(self._checkup.monitor, interval=interval, rng=self._router.rng)
        self._residence.own.group.start_soon(watch, self.health_check)

    def _request(
        self,
        operation: str,
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None,
        **options: Unpack[CallOptions],
    ) -> Call:
        return Call.of(prompt, files, self._clock.wall(), operation, **options)
