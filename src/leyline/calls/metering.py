"""The layer of the quota: reserve before the run, charge what was really used after it."""

import logging
from collections.abc import Awaitable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, Protocol

from anyio.abc import TaskGroup
from attrs import define, field

from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.errors import LedgerError, LeylineError
from leyline.events import Events, QuotaLevelChanged
from leyline.limits import QuotaLevel, Weight
from leyline.model import ExecutionResult, Failure, FailureKind, Priority, Usage
from leyline.quota import Admission, Expectation, MemoryLedger, Slots, Store
from leyline.quota_limits import read_quota_limits

logger = logging.getLogger(__name__)

_UNANNOUNCED: Final = {FailureKind.RATE_LIMITED: 10.0, FailureKind.QUOTA_EXHAUSTED: 300.0}
"""Seconds for which a service is left alone that refused and did not say for how long."""


class Start(Protocol):
    """Runs the call; the descriptors in *held* are handed to the process."""

    def __call__(self, held: tuple[int, ...], /) -> Awaitable[ExecutionResult]: ...


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
        slots = quota.concurrent and Slots(store.slots_folder, account, quota.concurrent)

        def tell(before: QuotaLevel, after: QuotaLevel) -> None:
            events.emit(
                QuotaLevelChanged(
                    service=config.name,
                    at=clock.wall(),
                    account=account,
                    before=before,
                    after=after,
                )
            )

        return cls(
            account=account,
            admission=Admission(
                account, quota.limits, store, clock, burst=quota.burst, on_level=tell
            ),
            slots=slots or None,
            dry_run=quota.dry_run,
            clock=clock,
        )

    @classmethod
    def of_its_own_words(cls, config: ServiceConfig, clock: Clock) -> "Meter":
        """The meter of a service that nothing limits but what it says itself, in this process."""
        admission = Admission(config.name, (), MemoryLedger(clock), clock)
        return cls(account=config.name, admission=admission, clock=clock)

    @staticmethod
    def limits_itself(result: ExecutionResult) -> bool:
        """Whether the service asked to be left alone."""
        return result.failure is not None and result.failure.kind in _UNANNOUNCED

    async def run(
        self,
        start: Start,
        *,
        prompt_tokens: int,
        deadline: float | None,
        priority: Priority,
        group: TaskGroup,
    ) -> ExecutionResult:
        """Wait until the quota allows it, then run *start*; charge what it used.

        prompt_tokens: As estimated. deadline: For the start, in monotonic seconds; None: no limit.
        priority: Among those who wait for the quota.
        group: Where what is left to do ends up when the caller is cancelled.

        Raises QuotaExceededError, at once, if it cannot start in time. Where nothing was started,
        all is given back; a run that is cancelled keeps what was reserved for it.
        """
        reserved = self.expectation.weight(prompt_tokens)
        with ExitStack() as held:
            # The slot first: whoever is granted a start has to start then, and nothing may follow
            # that can take time.
            descriptors: tuple[int, ...] = ()
            if self.slots is not None and not self.dry_run:
                slot = await self.slots.take(clock=self.clock, deadline=deadline)
                held.callback(slot.release)
                descriptors = (slot.descriptor,)
            booking = await self._admit(reserved, deadline, priority)
            try:
                result = await start(descriptors)
            except LeylineError:
                with self._tolerating_the_store():
                    await self.admission.refund(booking)
                raise
            except BaseException:
                with suppress(RuntimeError):  # the group has ended; what was reserved runs out
                    group.start_soon(self._settle, booking, reserved)
                raise
        await self._charge(booking, reserved, prompt_tokens, result)
        return result

    @contextmanager
    def _tolerating_the_store(self) -> Generator[None, None, None]:
        """After a start a broken store must not hide what came of it: what was reserved stays
        reserved, which errs on the safe side."""
        try:
            yield
        except LedgerError as error:
            logger.warning("%s: its use could not be written down: %s", self.account, error)

    async def _settle(self, booking: str, weight: Weight) -> None:
        with self._tolerating_the_store():
            await self.admission.settle(booking, weight)

    async def _admit(self, weight: Weight, deadline: float | None, priority: Priority) -> str:
        if not self.dry_run:
            grant = await self.admission.admit(weight, deadline=deadline, priority=priority)
            return grant.booking
        booking, delay = await self.admission.count(weight)
        if delay > 0:
            logger.warning(
                "%s: its quota would hold this call back for %.1f s", self.account, delay
            )
        return booking

    async def _charge(
        self, booking: str, reserved: Weight, prompt_tokens: int, result: ExecutionResult
    ) -> None:
        used = _used(result.usage) if result.usage.measured else reserved
        if result.usage.measured:
            self.expectation.learn(prompt_tokens, used)
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
        requests=usage.requests,
        input_tokens=usage.input_tokens + rest,
        output_tokens=usage.output_tokens,
    )


def _until(failure: Failure, now: float) -> float:
    if failure.until is not None:
        return failure.until
    if failure.retry_after is not None:
        return now + failure.retry_after
    return now + _UNANNOUNCED[failure.kind]
