"""The state of one quota: what was used, what is booked, until when the service is closed.

Pure and synchronous. Every ledger keeps one ``Account`` a quota and applies one of these methods
in one transaction; two kinds of ``now`` come in: *now* in seconds of a clock that only goes
forward and is the same for all who share the ledger, *wall* as Unix time, for calendar days and
for what services say.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field, frozen

from leyline.limits import Limit, Measure, Weight
from leyline.quota.windows import SlidingLog, slack

VERSION: Final = 1
"""Of the written form."""

_KEPT_SECONDS: Final = 2 * 86_400.0
"""After so long a booking that nobody settled is given up; what it reserved has long run out."""

_REOPENING_SECONDS: Final = 1.0
"""Between two starts after a service was closed, where no limit says how fast it can go."""


@frozen(kw_only=True)
class Booked:
    """A start that is reserved. delay: Seconds until it."""

    delay: float


@frozen(kw_only=True)
class Refused:
    """No start in time; nothing was written.

    delay: Seconds until the earliest start; infinite if there is none.
    limit: Name of the limit that stands in the way; ``closed`` where the service said so itself.
    used, amount: How much of it is used. reason: The service's own words, where it is closed.
    """

    delay: float
    limit: str
    used: int = 0
    amount: int = 0
    reason: str = ""


@frozen(kw_only=True)
class LimitStatus:
    """How much of one limit is used.

    frees_in: Seconds until some of it is free. None: nothing is used.
    """

    name: str
    used: int
    amount: int
    frees_in: float | None


@frozen(kw_only=True)
class AccountStatus:
    """A look at a quota. closed_for: Seconds for which the service is closed; 0: it is open."""

    limits: tuple[LimitStatus, ...]
    closed_for: float = 0.0
    reason: str = ""


@define
class _Booking:
    """at: When it starts. entries: The bucket (or day) and the weight that each limit holds."""

    at: float
    entries: dict[str, tuple[int, int]]


@define
class Account:
    """Everything about one quota.

    logs: For each limit over a sliding window. days: For each limit of a calendar day, the day's
    number and what was used. closed_until: Unix time. reopening: Until when, in *now*, starts keep
    their distance after a closure. last: The latest start that is booked.
    """

    logs: dict[str, SlidingLog] = field(factory=dict[str, SlidingLog])
    days: dict[str, dict[int, int]] = field(factory=dict[str, dict[int, int]])
    bookings: dict[str, _Booking] = field(factory=dict[str, _Booking])
    closed_until: float = 0.0
    closed_by: str = ""
    reopening: float = -math.inf
    last: float = -math.inf

    def book(
        self,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        now: float,
        wall: float,
        max_delay: float = math.inf,
    ) -> Booked | Refused:
        """Reserve the earliest start for *weight* under all *limits*, or nothing at all.

        First come, first served: it never lies before one that was booked earlier.
        max_delay: Seconds; a start later than that is refused.
        """
        self._prepare(limits, now)
        start, hindrance = self._earliest(limits, weight, now, wall)
        if start - now > max_delay or math.isinf(start):
            return self._refusal(start, hindrance, now, wall)
        entries: dict[str, tuple[int, int]] = {}
        for limit in limits:
            amount = weight.of(limit.measure)
            if limit.reset is not None:
                day = limit.reset.day(wall + start - now)
                used = self.days.setdefault(limit.name, {})
                used[day] = used.get(day, 0) + amount
                entries[limit.name] = (day, amount)
            else:
                entries[limit.name] = (self.logs[limit.name].add(amount, start), amount)
        self.bookings[booking] = _Booking(start, entries)
        self.last = max(self.last, start)
        return Booked(delay=start - now)

    def confirm(
        self, booking: str, limits: Sequence[Limit], weight: Weight, *, now: float, wall: float
    ) -> Booked:
        """What has become of a booked start whose moment has come: 0 to start now, else a new wait.

        It is put off where the service was closed meanwhile, and where it comes too late to count
        as the start that was booked.
        """
        held = self.bookings.get(booking)
        closed = wall < self.closed_until
        shortest = min((limit.per for limit in limits if limit.reset is None), default=math.inf)
        if held is not None and not closed and now <= held.at + slack(shortest):
            return Booked(delay=max(0.0, held.at - now))
        self.refund(booking)
        outcome = self.book(booking, limits, weight, now=now, wall=wall)
        assert isinstance(outcome, Booked)  # it did fit before
        return outcome

    def settle(self, booking: str, limits: Sequence[Limit], weight: Weight) -> bool:
        """Put what was really used in place of what was reserved; False if that was done before.

        More than a limit's amount may then be used: later starts wait for it.
        """
        held = self.bookings.pop(booking, None)
        if held is None:
            return False
        for limit in limits:
            if limit.name in held.entries:
                k, reserved = held.entries[limit.name]
                self._change(limit.name, k, weight.of(limit.measure) - reserved)
        return True

    def refund(self, booking: str) -> bool:
        """Give back what was reserved, as nothing was started; False if there is nothing."""
        held = self.bookings.pop(booking, None)
        if held is None:
            return False
        for name, (k, reserved) in held.entries.items():
            self._change(name, k, -reserved)
        self.last = max((b.at for b in self.bookings.values()), default=-math.inf)
        return True

    def close(self, until: float, reason: str, *, now: float, wall: float) -> None:
        """Close the service until Unix time *until*; never shorter than it is closed already.

        Afterwards starts keep their distance for a while. A moment that has passed closes nothing,
        but the next starts keep their distance too.
        """
        if until >= self.closed_until:
            self.closed_until = until
            self.closed_by = reason
        self.reopening = max(self.reopening, now + max(0.0, until - wall) + 60.0)

    def status(self, limits: Sequence[Limit], *, now: float, wall: float) -> AccountStatus:
        """How much of each of *limits* is used."""
        return AccountStatus(
            limits=tuple(self._limit_status(limit, now, wall) for limit in limits),
            closed_for=max(0.0, self.closed_until - wall),
            reason=self.closed_by if wall < self.closed_until else "",
        )

    def shift(self, by: float) -> None:
        """Take over a state of another clock, on which it was *by* seconds earlier."""
        for log in self.logs.values():
            log.shift(by)
        for held in self.bookings.values():
            held.at += by
        self.last += by
        self.reopening += by

    def _prepare(self, limits: Sequence[Limit], now: float) -> None:
        for limit in limits:
            if limit.reset is None:
                span = limit.per + limit.guard + slack(limit.per)
                log = self.logs.setdefault(limit.name, SlidingLog(span))
                log.fit(span)
                log.forget(now)
        for booking in [b for b, held in self.bookings.items() if held.at < now - _KEPT_SECONDS]:
            del self.bookings[booking]

    def _earliest(
        self, limits: Sequence[Limit], weight: Weight, now: float, wall: float
    ) -> tuple[float, Limit | None]:
        """The earliest start, and the limit that it waits for; None: the service is closed."""
        start, hindrance = max(now, self.last), None
        if wall < self.closed_until:
            start = max(start, now + self.closed_until - wall)
        if max(now, self.last) < self.reopening and start > now - self._gap(limits):
            start = max(start, self.last + self._gap(limits))
        while True:
            earliest, limit = start, hindrance
            for candidate in limits:
                fits = self._fits(candidate, weight, earliest, now, wall)
                if fits > earliest:
                    earliest, limit = fits, candidate
            if earliest == start or math.isinf(earliest):
                return earliest, limit
            start, hindrance = earliest, limit

    def _fits(self, limit: Limit, weight: Weight, start: float, now: float, wall: float) -> float:
        amount = weight.of(limit.measure)
        if limit.reset is None:
            return self.logs[limit.name].earliest(amount, limit.amount, start)
        if amount > limit.amount:
            return math.inf
        used = self.days.get(limit.name, {})
        while used.get(limit.reset.day(wall + start - now), 0) + amount > limit.amount:
            start = now + limit.reset.ends(wall + start - now) - wall
        return start

    def _gap(self, limits: Sequence[Limit]) -> float:
        """Seconds between two starts at the pace of the tightest limit on requests."""
        paces = [limit.per / limit.amount for limit in limits if limit.measure is Measure.REQUESTS]
        return min(max(paces, default=_REOPENING_SECONDS), 60.0)

    def _refusal(self, start: float, hindrance: Limit | None, now: float, wall: float) -> Refused:
        if hindrance is None:
            return Refused(delay=start - now, limit="closed", reason=self.closed_by)
        status = self._limit_status(hindrance, now, wall)
        return Refused(delay=start - now, limit=status.name, used=status.used, amount=status.amount)

    def _change(self, name: str, k: int, by: int) -> None:
        if name in self.logs:
            self.logs[name].change(k, by)
        elif name in self.days and k in self.days[name]:
            self.days[name][k] = max(0, self.days[name][k] + by)

    def _limit_status(self, limit: Limit, now: float, wall: float) -> LimitStatus:
        if limit.reset is not None:
            used = self.days.get(limit.name, {}).get(limit.reset.day(wall), 0)
            frees_in = limit.reset.ends(wall) - wall if used else None
        else:
            log = self.logs.get(limit.name, SlidingLog(limit.per))
            used = log.used(now)
            frees_at = log.frees_at(now)
            frees_in = None if frees_at is None else frees_at - now
        return LimitStatus(name=limit.name, used=used, amount=limit.amount, frees_in=frees_in)

    def dump(self) -> str:
        """As JSON text."""
        return json.dumps(
            {
                "version": VERSION,
                "logs": {name: log.dump() for name, log in self.logs.items()},
                "days": {name: list(days.items())[-3:] for name, days in self.days.items()},
                "bookings": {b: [held.at, held.entries] for b, held in self.bookings.items()},
                "closed": [self.closed_until, self.closed_by],
                "reopening": None if math.isinf(self.reopening) else self.reopening,
                "last": None if math.isinf(self.last) else self.last,
            },
            separators=(",", ":"),
        )

    @classmethod
    def load(cls, text: str) -> "Account":
        """From what ``dump`` gave."""
        state: dict[str, Any] = json.loads(text)
        return cls(
            logs={name: SlidingLog.load(flat) for name, flat in state["logs"].items()},
            days={name: {int(d): int(u) for d, u in days} for name, days in state["days"].items()},
            bookings={
                b: _Booking(at, {name: (k, w) for name, (k, w) in entries.items()})
                for b, (at, entries) in state["bookings"].items()
            },
            closed_until=state["closed"][0],
            closed_by=state["closed"][1],
            reopening=-math.inf if state["reopening"] is None else state["reopening"],
            last=-math.inf if state["last"] is None else state["last"],
        )
