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

from attrs import define, field

from leyline.limits import Limit, Measure, Weight
from leyline.quota.answers import AccountStatus, Booked, LimitStatus, Refused
from leyline.quota.booking import Booking
from leyline.quota.windows import DayLog, SlidingLog, slack

__all__ = ["Account", "AccountStatus", "Booked", "LimitStatus", "Refused"]

VERSION: Final = 1
"""Of the written form."""

_KEPT_SECONDS: Final = 2 * 86_400.0
"""After so long a booking that nobody settled is given up; what it reserved has long run out."""

_REOPENING_SECONDS: Final = 60.0
"""For so long after a closure starts keep their distance."""

_GAP_SECONDS: Final = 1.0
"""Between two starts after a closure, where no limit says how fast it can go."""

_LATE_SECONDS: Final = 1.0
"""A start that comes so much later than booked is always booked again."""


@define
class Account:
    """Everything about one quota.

    logs, days: For each limit over a sliding window, and for each of a calendar day, what was
    used. closed_until: Unix time. reopening: Until when, in *now*, starts keep their distance after
    a closure. last: The latest start that is booked. settled: The latest one that was settled.
    """

    logs: dict[str, SlidingLog] = field(factory=dict[str, SlidingLog])
    days: dict[str, DayLog] = field(factory=dict[str, DayLog])
    bookings: dict[str, Booking] = field(factory=dict[str, Booking])
    closed_until: float = 0.0
    closed_by: str = ""
    reopening: float = -math.inf
    last: float = -math.inf
    settled: float = -math.inf

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
        self._prepare(limits, now, wall)
        start, hindrance = self._earliest(limits, weight, now, wall)
        if start - now > max_delay or math.isinf(start):
            return self._refusal(start, hindrance or self._queued_for(limits, now, wall), now, wall)
        entries: dict[str, tuple[int, int]] = {}
        for limit in limits:
            amount = weight.of(limit.measure)
            if limit.reset is not None:
                k = limit.reset.day(wall + (start - now))
                self.days[limit.name].change(k, amount)
            else:
                k = self.logs[limit.name].add(amount, start)
            entries[limit.name] = (k, amount)
        self.bookings[booking] = Booking(start, entries)
        self.last = max(self.last, start)
        return Booked(delay=start - now)

    def confirm(
        self, booking: str, limits: Sequence[Limit], weight: Weight, *, now: float, wall: float
    ) -> Booked:
        """What has become of a booked start whose moment has come: 0 to start now, else a new wait.

        *limits* and *weight* are those of the booking. It is put off where the service was closed
        meanwhile, and where it comes too late, or on another day, to count as what was booked.
        """
        held = self.bookings.get(booking)
        closed_for = max(0.0, self.closed_until - wall)
        if held is not None and held.stands(limits, now + closed_for, wall + closed_for):
            return Booked(delay=max(closed_for, held.at - now))
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
        self.settled = max(self.settled, held.at)
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
        self.last = max(self.last, self.settled)
        return True

    def close(self, until: float, reason: str, *, now: float, wall: float) -> None:
        """Close the service until Unix time *until*; never shorter than it is closed already.

        Afterwards starts keep their distance for a while. A moment that has passed closes nothing,
        but the next starts keep their distance too. What is booked for later is put off by
        ``confirm``, so that it keeps its distance as well.
        """
        if until >= self.closed_until:
            self.closed_until = until
            self.closed_by = reason
        self.reopening = max(self.reopening, now + max(0.0, until - wall) + _REOPENING_SECONDS)
        for held in self.bookings.values():
            if held.at > now:
                held.at = now - _LATE_SECONDS

    def status(self, limits: Sequence[Limit], *, now: float, wall: float) -> AccountStatus:
        """How much of each of *limits* is used."""
        return AccountStatus(
            limits=tuple(self._limit_status(limit, now, wall) for limit in limits),
            closed_for=max(0.0, self.closed_until - wall),
            reason=self.closed_by if wall < self.closed_until else "",
        )

    def shift(self, by: float) -> None:
        """Take over a state of another clock, on which it was *by* seconds earlier."""
        for name, log in self.logs.items():
            self._move(name, span=log.span, by=by)
        for held in self.bookings.values():
            held.at += by
        self.last += by
        self.settled += by
        self.reopening += by

    def _prepare(self, limits: Sequence[Limit], now: float, wall: float) -> None:
        for limit in limits:
            if limit.reset is not None:
                self.days.setdefault(limit.name, DayLog()).forget(limit.reset.day(wall))
                continue
            span = limit.per + limit.guard + slack(limit.per)
            log = self.logs.get(limit.name)
            if log is None:
                log = self.logs[limit.name] = SlidingLog(span)
            log.forget(now)
            if log.takes(span):
                self._move(limit.name, span=span, by=0.0)
        while self.bookings:
            oldest = next(iter(self.bookings))
            if self.bookings[oldest].at >= now - _KEPT_SECONDS:
                break
            del self.bookings[oldest]

    def _move(self, name: str, *, span: float, by: float) -> None:
        """Move a log, and with it what the bookings know of where they stand in it."""
        moved = self.logs[name].move(span=span, by=by)
        for held in self.bookings.values():
            held.follow(name, moved)

    def _earliest(
        self, limits: Sequence[Limit], weight: Weight, now: float, wall: float
    ) -> tuple[float, Limit | None]:
        """The earliest start, and the limit that it waits for; None: it waits for none of them."""
        start, hindrance = max(now, self.last), None
        if wall < self.closed_until:
            start = max(start, now + self.closed_until - wall)
        if max(now, self.last) < self.reopening:
            start = max(start, self.last + _gap(limits))
        before = -math.inf
        while before < start:
            before = start
            for limit in limits:
                fits = self._fits(limit, weight, start, now, wall)
                if fits > start:
                    start, hindrance = fits, limit
        return start, hindrance

    def _fits(self, limit: Limit, weight: Weight, start: float, now: float, wall: float) -> float:
        amount = weight.of(limit.measure)
        if limit.reset is None:
            return self.logs[limit.name].earliest(amount, limit.amount, start)
        if math.isinf(start):
            return start
        at = wall + (start - now)
        late = limit.guard + slack(limit.per)
        fits = self.days[limit.name].earliest(
            amount, limit.amount, at, reset=limit.reset, late=late
        )
        return start + (fits - at)

    def _queued_for(self, limits: Sequence[Limit], now: float, wall: float) -> Limit | None:
        """What the bookings before it wait for: the fullest limit; None: the service is closed."""
        if wall < self.closed_until or now < self.reopening:
            return None
        shares = {
            limit: self._limit_status(limit, now, wall).used / limit.amount for limit in limits
        }
        return max(shares, key=lambda limit: shares[limit], default=None)

    def _refusal(self, start: float, hindrance: Limit | None, now: float, wall: float) -> Refused:
        if hindrance is None:
            return Refused(delay=start - now, limit="closed", reason=self.closed_by)
        status = self._limit_status(hindrance, now, wall)
        return Refused(delay=start - now, limit=status.name, used=status.used, amount=status.amount)

    def _change(self, name: str, k: int, by: int) -> None:
        if name in self.days and k in self.days[name]:
            self.days[name].change(k, by)
        elif name in self.logs:
            self.logs[name].change(k, by)

    def _limit_status(self, limit: Limit, now: float, wall: float) -> LimitStatus:
        if limit.reset is not None:
            used = self.days.get(limit.name, DayLog()).used(limit.reset.day(wall))
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
                "days": {name: days.dump() for name, days in self.days.items()},
                "bookings": {booking: held.dump() for booking, held in self.bookings.items()},
                "closed": [self.closed_until, self.closed_by],
                "reopening": _written(self.reopening),
                "last": _written(self.last),
                "settled": _written(self.settled),
            },
            separators=(",", ":"),
        )

    @classmethod
    def load(cls, text: str) -> "Account":
        """From what ``dump`` gave."""
        state: dict[str, Any] = json.loads(text)
        return cls(
            logs={name: SlidingLog.load(flat) for name, flat in state["logs"].items()},
            days={name: DayLog.load(pairs) for name, pairs in state["days"].items()},
            bookings={booking: Booking.load(held) for booking, held in state["bookings"].items()},
            closed_until=state["closed"][0],
            closed_by=state["closed"][1],
            reopening=_read(state["reopening"]),
            last=_read(state["last"]),
            settled=_read(state.get("settled")),
        )


def _gap(limits: Sequence[Limit]) -> float:
    """Seconds between two starts at the pace of the tightest limit on requests a minute or less."""
    paces = [
        limit.per / limit.amount
        for limit in limits
        if limit.measure is Measure.REQUESTS and limit.per <= 60.0
    ]
    return max(paces, default=_GAP_SECONDS)


def _written(moment: float) -> float | None:
    return None if math.isinf(moment) else moment


def _read(moment: float | None) -> float:
    return -math.inf if moment is None else moment
