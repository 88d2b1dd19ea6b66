"""The layer of the quota: reserve before the run, charge what was really used after it."""

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Final

import anyio
from attrs import define, evolve, field

from leyline.calls.job import Handler, Job
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.errors import LedgerError, LeylineError
from leyline.events import Events, QuotaLevelChanged
from leyline.limits import QuotaLevel, Weight
from leyline.model import ExecutionResult, Failure, FailureKind, Usage
from leyline.quota import Admission, Expectation, MemoryLedger, Slots, Store
from leyline.quota_limits import read_quota_limits

logger = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]

_SECONDS: Final = 5.0
"""How long a store is waited for behind a caller who is gone."""

_UNANNOUNCED: Final = {FailureKind.RATE_LIMITED: 10.0, FailureKind.QUOTA_EXHAUSTED: 300.0}
"""Seconds for which a service is left alone that refused and did not say for how long."""


@define
class Metering:
    """Lets calls start as the quota of their service allows it.

    meter: None as long as nothing limits the service; then its runs cost nothing here.
    """

    config: ServiceConfig
    meter: "Meter | None"
    clock: Clock
    events: Events
    name: str = "quota"

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        if self.meter is not None:
            return await self.meter.run(job, proceed)
        result = await proceed(job)
        if asks_for_rest(result) and self.meter is None:
            # Nothing limits it but its own words, which hold in this process.
            name = self.config.name
            tell = _teller(name, name, self.clock, self.events)
            ledger = MemoryLedger(self.clock)
            admission = Admission(name, (), ledger, self.clock, on_level=tell)
            self.meter = Meter(account=name, admission=admission, clock=self.clock)
        if self.meter is not None:
            await self.meter.throttle(result)
        return result


def asks_for_rest(result: ExecutionResult) -> bool:
    """Whether the service asked to be left alone."""
    return result.failure is not None and result.failure.kind in _UNANNOUNCED


def _teller(
    service: str, account: str, clock: Clock, events: Events
) -> Callable[[QuotaLevel, QuotaLevel], None]:
    """Tells of another level of the quota *account*."""

    def tell(before: QuotaLevel, after: QuotaLevel) -> None:
        events.emit(
            QuotaLevelChanged(
                service=service, at=clock.wall(), account=account, before=before, after=after
            )
        )

    return tell


@define(kw_only=True)
class Meter:
    """The quota of one service.

    account: Whose quota it is: the service's, or its pool's.
    slots: The places for runs at the same time. None: there is no limit to them.
    dry_run: Count, but hold nothing back.
    """

    account: str
    admission: Admission
    slots: Slots | None = None
    dry_run: bool = False
    clock: Clock
    expectation: Expectation = field(factory=Expectation)

    @classmethod
    def of(
        cls, config: ServiceConfig, store: Store, clock: Clock, events: Events
    ) -> "Meter | None":
        """The meter of a service with a quota, kept in *store*; None if nothing limits it."""
        quota, _ = read_quota_limits(config.quota_limits)
        if not quota.limits and quota.concurrent is None:
            return None
        account = quota.pool or config.name
        service, most = config.name, quota.concurrent
        slots = most and Slots(store.slots_folder, account, most, service=service)
        tell = _teller(service, account, clock, events)
        return cls(
            account=account,
            admission=Admission(
                account,
                quota.limits,
                store,
                clock,
                service=service,
                burst=quota.burst,
                on_level=tell,
            ),
            slots=slots or None,
            dry_run=quota.dry_run,
            clock=clock,
        )

    async def run(self, job: Job, proceed: Handler) -> ExecutionResult:
        """Wait until the quota allows *job*, then *proceed*; charge what it used.

        Raises QuotaExceededError, at once, if it cannot start in time. Where nothing was started,
        all is given back; a run that is cancelled keeps what was reserved for it.
        """
        reserved = self.expectation.weight(job.prompt_tokens, self.admission.limits)
        with ExitStack() as held:
            # The slot first: whoever is granted a start has to start then, and nothing may follow
            # that can take time.
            if self.slots is not None and not self.dry_run:
                slot = await self.slots.take(
                    clock=self.clock, deadline=job.start_by, priority=job.call.priority
                )
                held.callback(slot.release)
                job = evolve(job, held=(slot.descriptor,))
            booking = await self._admit(reserved, job)
            try:
                result = await proceed(job)
            except LeylineError:
                await self._finish(job, partial(self._refund, booking))
                raise
            except BaseException:
                self._finish_behind(job, partial(self._settle, booking, reserved))
                raise
        used = _used(result.usage) if result.usage.measured else reserved
        if result.success and result.usage.measured:
            self.expectation.learn(job.prompt_tokens, used)
        await self._finish(job, partial(self._charge, booking, used, result))
        return result

    async def _finish(self, job: Job, step: Step) -> None:
        """Do *step*, which may be done twice; where its caller is cancelled, behind that."""
        try:
            await step()
        except BaseException:
            self._finish_behind(job, step)
            raise

    def _finish_behind(self, job: Job, step: Step) -> None:
        async def finish() -> None:
            with anyio.move_on_after(_SECONDS, shield=True):  # also while the group ends
                await step()

        with suppress(RuntimeError):  # the group has ended; what was reserved runs out
            job.lifespan.group.start_soon(finish)

    @contextmanager
    def _tolerating_the_store(self) -> Generator[None, None, None]:
        """After a start a broken store must not hide what came of it: what was reserved stays
        reserved, which errs on the safe side."""
        try:
            yield
        except LedgerError as error:
            logger.warning("%s: its use could not be written down: %s", self.account, error)

    async def _refund(self, booking: str) -> None:
        with self._tolerating_the_store():
            await self.admission.refund(booking)

    async def _settle(self, booking: str, weight: Weight) -> None:
        with self._tolerating_the_store():
            await self.admission.settle(booking, weight)

    async def _admit(self, weight: Weight, job: Job) -> str:
        if not self.dry_run:
            grant = await self.admission.admit(
                weight, deadline=job.start_by, priority=job.call.priority
            )
            return grant.booking
        booking, delay = await self.admission.count(weight)
        if delay > 0:
            logger.warning(
                "%s: its quota would hold this call back for %.1f s", self.account, delay
            )
        return booking

    async def _charge(self, booking: str, used: Weight, result: ExecutionResult) -> None:
        await self._settle(booking, used)
        await self.throttle(result)

    async def throttle(self, result: ExecutionResult) -> None:
        """Close the service for as long as *result* says, if it does."""
        failure = result.failure
        if failure is not None and failure.kind in _UNANNOUNCED:
            with self._tolerating_the_store():
                await self.admission.throttle(_until(failure, self.clock.wall()), failure.message)


def _used(usage: Usage) -> Weight:
    rest = max(0, usage.total_tokens - usage.input_tokens - usage.output_tokens)
    return Weight(
        requests=max(1, usage.requests),  # a process ran, whatever it says
        input_tokens=usage.input_tokens + rest,
        output_tokens=usage.output_tokens,
    )


def _until(failure: Failure, now: float) -> float:
    if failure.until is not None:
        return failure.until
    if failure.retry_after is not None:
        return now + failure.retry_after
    return now + _UNANNOUNCED[failure.kind]
