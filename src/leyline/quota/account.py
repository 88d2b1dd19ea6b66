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
from leyline.quota.booking import LEASE, Booking
from leyline.quota.tally import Moves, Tally

__all__ = ["Account", "AccountStatus", "Booked", "LimitStatus", "Refused"]

VERSION: Final = 2
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

    tally: What was used. bookings: By id, the earliest booked first. closed_until: Unix time.
    reopening: Until when, in *now*, starts keep their distance after a closure.
    last: The latest start that is booked. settled: The latest one that was settled.
    """

    tally: Tally = field(factory=Tally)
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
        dry_run: bool = False,
    ) -> Booked | Refused:
        """Reserve the earliest start for *weight* under all *limits*, or nothing at all.

        First come, first served: it never lies before one that was booked earlier.
        max_delay: Seconds; a start later than that is refused. dry_run: It starts now, and counts
        from now on, whatever the delay that is answered.
        """
        self._prepare(limits, now, wall)
        start, hindrance = self._earliest(limits, weight, now, wall)
        if dry_run:
            self._hold(booking, limits, weight, now, now, wall)
            return self._booked(start - now, limits, now, wall)
        if start - now > max_delay or math.isinf(start):
            return self._refusal(start, hindrance or self._queued_for(limits, now, wall), now, wall)
        self._hold(booking, limits, weight, start, now, wall)
        return self._booked(start - now, limits, now, wall)

    def confirm(
        self, booking: str, limits: Sequence[Limit], weight: Weight, *, now: float, wall: float
    ) -> Booked:
        """What has become of a booked start: 0 to start now, else seconds to wait from now on.

        *limits* and *weight* are those of the booking. Before its moment it keeps its place, and
        moves to an earlier one that has become free. Too late, or on another day, to count as
        what was booked, it starts now if that takes nothing from those booked for later; else,
        and where the service was closed meanwhile, it is booked anew, behind them.
        """
        held = self.bookings.get(booking)
        closed_for = max(0.0, self.closed_until - wall)
        if held is not None and held.stands(limits, now + closed_for, wall + closed_for):
            if held.at > now:
                held.seen = now
                self._advance(held, limits, weight, now, wall)
            return self._booked(max(closed_for, held.at - now), limits, now, wall)
        self.refund(booking)
        if held is not None and held.at <= now and self._has_room(limits, weight, now, wall):
            self._hold(booking, limits, weight, now, now, wall)
            return self._booked(0.0, limits, now, wall)
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
                self.tally.change(limit.name, k, weight.of(limit.measure) - reserved)
        return True

    def refund(self, booking: str) -> bool:
        """Give back what was reserved, as nothing was started; False if there is nothing."""
        held = self.bookings.pop(booking, None)
        if held is None:
            return False
        self.tally.give_back(held.entries)
        self.last = self._latest()
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
            limits=tuple(self.tally.look(limit, now, wall) for limit in limits),
            closed_for=max(0.0, self.closed_until - wall),
            reason=self.closed_by if wall < self.closed_until else "",
        )

    def shift(self, by: float) -> None:
        """Take over a state of another clock, on which it was *by* seconds earlier."""
        self._follow(self.tally.shift(by))
        for held in self.bookings.values():
            held.at += by
            held.seen += by
        self.last += by
        self.settled += by
        self.reopening += by

    def _advance(
        self, held: Booking, limits: Sequence[Limit], weight: Weight, now: float, wall: float
    ) -> None:
        """Move a booked start to an earlier moment, if one is free behind all booked before it."""
        self._prepare(limits, now, wall)
        self.tally.give_back(held.entries)
        self.last = self._latest(before=held.at)
        start, _ = self._earliest(limits, weight, now, wall)
        if start < held.at:
            held.at = start
            held.entries = self.tally.enter(limits, weight, start, wall + (start - now))
        else:
            self.tally.take_back(held.entries)
        self.last = self._latest()

    def _hold(  # noqa: PLR0917  (as those of ``book``)
        self,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        start: float,
        now: float,
        wall: float,
    ) -> None:
        entries = self.tally.enter(limits, weight, start, wall + (start - now))
        self.bookings[booking] = Booking(start, entries, now)
        self.last = max(self.last, start)

    def _booked(self, delay: float, limits: Sequence[Limit], now: float, wall: float) -> Booked:
        share, fullest = self.tally.fullest(limits, now, wall)
        return Booked(delay=delay, share=share, fullest=fullest)

    def _has_room(self, limits: Sequence[Limit], weight: Weight, now: float, wall: float) -> bool:
        """Whether a start now takes nothing from those that are booked for later."""
        if wall < self.closed_until or now < self.reopening:
            return False
        self._prepare(limits, now, wall)
        return all(self.tally.has_room(limit, weight, now, wall) for limit in limits)

    def _latest(self, *, before: float = math.inf) -> float:
        """The latest start, of those booked for a moment before *before*."""
        booked = (held.at for held in self.bookings.values() if held.at < before)
        return max(self.settled, max(booked, default=-math.inf))

    def _prepare(self, limits: Sequence[Limit], now: float, wall: float) -> None:
        """Forget what no longer counts."""
        self._follow(self.tally.prepare(limits, now, wall))
        while self.bookings:
            oldest = next(iter(self.bookings))
            if self.bookings[oldest].at >= now - _KEPT_SECONDS:
                break
            del self.bookings[oldest]
        if self.last > now + LEASE:
            for booking in [b for b, held in self.bookings.items() if held.abandoned(now)]:
                self.tally.give_back(self.bookings.pop(booking).entries)
            self.last = self._latest()

    def _follow(self, moves: Moves) -> None:
        """Let the bookings know where their entries went."""
        for name, moved in moves.items():
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
                fits = self.tally.fits(limit, weight, start, now, wall)
                if fits > start:
                    start, hindrance = fits, limit
        return start, hindrance

    def _queued_for(self, limits: Sequence[Limit], now: float, wall: float) -> Limit | None:
        """What the bookings before it wait for: the fullest limit; None: the service is closed."""
        if wall < self.closed_until or now < self.reopening:
            return None
        shares = {limit: self.tally.look(limit, now, wall).share for limit in limits}
        return max(shares, key=lambda limit: shares[limit], default=None)

    def _refusal(self, start: float, hindrance: Limit | None, now: float, wall: float) -> Refused:
        if hindrance is None:
            return Refused(delay=start - now, limit="closed", reason=self.closed_by)
        status = self.tally.look(hindrance, now, wall)
        return Refused(
            delay=start - now,
            limit=status.name,
            used=status.used,
            amount=status.amount,
            waiting=status.waiting,
        )

    def dump(self) -> str:
        """As JSON text."""
        return json.dumps(
            {
                "version": VERSION,
                **self.tally.dump(),
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
            tally=Tally.load(state),
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
