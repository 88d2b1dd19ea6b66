"""May this call start now? Those who wait for one quota in this process, in front of its store."""

import math
import uuid
from collections.abc import Callable

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen

from leyline.clock import Clock
from leyline.errors import LedgerError, QuotaExceededError
from leyline.limits import Limit, QuotaLevel, Weight
from leyline.model import Priority
from leyline.quota.alarm import Alarm
from leyline.quota.answers import AccountStatus, Refused
from leyline.quota.booking import LEASE
from leyline.quota.debts import Debts
from leyline.quota.ledger import Ledger
from leyline.quota.outlook import Outlook
from leyline.quota.pacer import pacer_for
from leyline.quota.queue import Queue
from leyline.quota.refusal import overdue, refused
from leyline.quota.windows import slack


@frozen(kw_only=True)
class Grant:
    """A call may start now. booking: What to settle or refund. queued: Seconds it has waited."""

    booking: str
    queued: float


@define(eq=False)
class _Waiter:
    """turn_at: When it was its turn: when it asked, where nobody was before it.

    booked: Whether it may hold a booking. refusal: Why its turn never comes.
    """

    weight: Weight
    deadline: float
    turn_at: float
    booking: str = field(factory=lambda: uuid.uuid4().hex)
    turn: anyio.Event = field(factory=anyio.Event)
    booked: bool = False
    refusal: QuotaExceededError | LedgerError | None = None


class Admission:
    """The queue for one account: a service, or a pool of several.

    Only the head of the queue books, and sleeps until its start; the others wait for their turn.
    Nobody who comes later, of whatever class, takes the place of a head that has booked.
    """

    def __init__(
        self,
        account: str,
        limits: tuple[Limit, ...],
        ledger: Ledger,
        clock: Clock,
        *,
        service: str | None = None,
        burst: int | None = None,
        on_level: Callable[[QuotaLevel, QuotaLevel], None] | None = None,
    ) -> None:
        """service: Whose calls these are, for errors; None: the account is its own.

        burst: Starts at once before they are spread; None: ten, or the limit if it is less.

        on_level: Told of the level before and after, whenever a look into the store shows a new
            one: each booking is one, and so is each ``status``.
        """
        self._account = account
        self._service = account if service is None else service
        self.limits = limits
        self._ledger = ledger
        self._clock = clock
        self._pacer = pacer_for(limits, burst=burst)
        self._slack = min((slack(limit.per) for limit in limits), default=slack(math.inf))
        self._queue = Queue[_Waiter]()
        self._head: _Waiter | None = None
        self._alarm = Alarm()  # of the head
        self._roused = False  # what is booked may have become possible earlier, or impossible
        self._closed = False  # by us, since the head looked
        self.outlook = Outlook(limits, clock, on_level)
        self._reserved: dict[str, Weight] = {}
        self._debts = Debts(account, ledger)

    async def admit(
        self,
        weight: Weight,
        *,
        deadline: float | None,
        priority: Priority = Priority.NORMAL,
    ) -> Grant:
        """Wait until a call of *weight* may start. Settle or refund what is granted.

        deadline: In seconds of ``clock.monotonic``; None: wait as long as it takes.
        Raises QuotaExceededError as soon as it is known that the start would lie past the
        deadline, at the latest when the distance to the start before is kept; and LedgerError if
        the store cannot be used. Nothing is booked then.
        Cancellation: what was booked is given back, and the next has its turn.
        """
        since = self._clock.monotonic()
        waiter = _Waiter(weight, math.inf if deadline is None else deadline, since)
        try:
            await self._turn(waiter, priority)
            try:
                await self._lead(waiter)
            except LedgerError as error:
                self._fail_all(error)
                raise
        except BaseException:
            self._queue.discard(waiter)
            if waiter.booked:
                await self._debts.give_back(waiter.booking)
            raise
        finally:
            if self._head is waiter:
                self._hand_over()
        self._reserved[waiter.booking] = weight
        return Grant(booking=waiter.booking, queued=self._clock.monotonic() - since)

    async def count(self, weight: Weight) -> tuple[str, float]:
        """Count a start and hold nothing back: its booking, and seconds that it would have waited.

        Infinite where it would never have been allowed. Raises LedgerError.
        """
        booking = uuid.uuid4().hex
        outcome = await self._ledger.book(
            self._account, booking, self.limits, weight, max_delay=math.inf, dry_run=True
        )
        self.outlook.booked(outcome)
        return booking, outcome.delay

    async def settle(self, booking: str, weight: Weight) -> None:
        """Put what was really used, *weight*, in place of what was reserved; once.

        Raises LedgerError.
        """
        reserved = self._reserved.pop(booking, None)
        done = await self._ledger.settle(self._account, booking, self.limits, weight)
        if done and (reserved is None or self._less(weight, reserved)):
            self._rouse()

    async def refund(self, booking: str) -> None:
        """Give back what was reserved, as nothing was started. Raises LedgerError."""
        self._reserved.pop(booking, None)
        done = await self._ledger.refund(self._account, booking)
        if done:
            self._rouse()

    async def throttle(self, until: float, reason: str) -> None:
        """Close the account until Unix time *until*, for everybody. Raises LedgerError.

        reason: The service's own words.
        """
        await self._ledger.throttle(self._account, until, reason)
        self._closed = True
        self.outlook.closed(until - self._clock.wall())
        self._rouse()

    async def status(self) -> AccountStatus:
        """How much is used, of all who share the account. Raises LedgerError."""
        status = await self._ledger.status(self._account, self.limits)
        self.outlook.seen(status)
        return status

    async def _turn(self, waiter: _Waiter, priority: Priority) -> None:
        """Wait until *waiter* is the head."""
        if self._head is None:
            self._head = waiter
            await checkpoint()
            return
        deadline = None if math.isinf(waiter.deadline) else waiter.deadline
        self._queue.add(waiter, priority, deadline=deadline)
        self._alarm.ring_for(waiter.deadline)  # where that is news to the head
        await waiter.turn.wait()
        waiter.turn_at = self._clock.monotonic()
        if waiter.refusal is not None:
            raise waiter.refusal

    def _less(self, weight: Weight, reserved: Weight) -> bool:
        measures = {limit.measure for limit in self.limits}
        return any(weight.of(measure) < reserved.of(measure) for measure in measures)

    def _fail_all(self, error: LedgerError) -> None:
        """The store is broken for those behind the head too; none waits for it once more."""
        while (waiter := self._queue.pop()) is not None:
            waiter.refusal = LedgerError(error.store, error.reason)
            waiter.turn.set()

    def _hand_over(self) -> None:
        self._head = self._queue.pop()
        if self._head is not None:
            self._head.turn.set()

    def _rouse(self) -> None:
        """Let the head look again whether it can start earlier."""
        self._roused = True
        self._alarm.ring()

    async def _lead(self, head: _Waiter) -> None:
        """Book a start for *head*, and wait for it."""
        if self._debts:
            await self._debts.repay()
        now = self._clock.monotonic()
        await self._refuse(now)
        # Who asked in time, and had nobody before it, has its look even if the loop is late.
        if head.deadline < head.turn_at:
            raise overdue(self._service, self._account, await self.status(), 0.0)
        await self._pace(head)
        looked, wall = self._clock.monotonic(), self._clock.wall()
        delay = await self._book(head)
        while not (await self._wait(delay) and self._stands(looked + delay, wall + delay)):
            looked, wall = self._clock.monotonic(), self._clock.wall()
            delay = await self._confirm(head)
            if delay <= 0 and not self._closed:
                return  # however long the store took to say so

    async def _book(self, head: _Waiter) -> float:
        """Seconds until the start that is booked."""
        self._roused = self._closed = False
        head.booked = True  # cancelled from here on, nobody knows whether it is
        try:
            outcome = await self._ledger.book(
                self._account,
                head.booking,
                self.limits,
                head.weight,
                max_delay=max(0.0, head.deadline - self._clock.monotonic()),
            )
        except LedgerError:
            head.booked = False
            raise
        self.outlook.booked(outcome)
        if isinstance(outcome, Refused):
            head.booked = False
            raise refused(self._service, self._account, outcome)
        return outcome.delay

    async def _confirm(self, head: _Waiter) -> float:
        """Seconds until the start, which may have been put off, or moved forward; 0: start now."""
        self._roused = self._closed = False
        outcome = await self._ledger.confirm(self._account, head.booking, self.limits, head.weight)
        if outcome.delay > 0 and self._clock.monotonic() + outcome.delay > head.deadline:
            await self._ledger.refund(self._account, head.booking)
            return await self._book(head)  # which is refused, and says by which limit
        return outcome.delay

    async def _wait(self, delay: float) -> bool:
        """Wait for a start in *delay* seconds; False: ask again what has become of it."""
        if delay > self._slack:  # ask before its moment, so that the answer does not make it late
            await self._sleep(min(delay - self._slack / 2, LEASE / 3))
            return False
        return delay <= 0 or await self._sleep(delay)

    def _stands(self, at: float, wall: float) -> bool:
        """Whether a start booked for *at*, in Unix time *wall*, still counts as what was booked.

        Not where this process was held up, or the machine was asleep, or the service was closed.
        """
        late = max(self._clock.monotonic() - at, self._clock.wall() - wall)
        return late <= self._slack and not self._closed

    async def _sleep(self, delay: float) -> bool:
        """Whether *delay* has passed; False as soon as another start may be better."""
        due = self._clock.monotonic() + delay
        while not self._roused:
            if self._queue.next_deadline < due:  # nobody behind the head starts before it
                await self._refuse(due)
                continue
            with self._alarm.set(until=due):
                await self._clock.sleep_until(due)
                return True
        return False

    async def _pace(self, head: _Waiter) -> None:
        """Keep the distance between starts, if the deadline leaves time.

        Before it is booked: what waits with a booking comes too late for it. Where its start is
        known to lie past the deadline, it does not wait to hear so.
        """
        pacer = self._pacer
        if pacer is None:
            return
        left = head.deadline - self._clock.monotonic()
        if left < max(pacer.spacing, self.outlook.free_in()):
            return
        if pacer.ready:
            await pacer.permit()
            return
        while True:
            now = self._clock.monotonic()
            await self._refuse(math.nextafter(now, math.inf))  # as the head does not start now
            until = self._queue.next_deadline
            with self._alarm.set(until=until, seconds=until - now):
                await pacer.permit()
                return

    async def _refuse(self, start: float) -> None:
        """Refuse all in the queue whose deadline lies before *start*, the earliest there is."""
        if self._queue.next_deadline >= start:
            return
        status = await self.status()
        wait = max(0.0, start - self._clock.monotonic())
        for waiter in self._queue.expire(start):
            waiter.refusal = overdue(self._service, self._account, status, wait)
            waiter.turn.set()
