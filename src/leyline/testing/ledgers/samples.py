"""Limits and calls that the demands are made with."""

import uuid
from collections.abc import Sequence
from typing import Final

from leyline.limits import Limit, Measure, Weight
from leyline.quota import Booked, Ledger

PER: Final = 0.5
"""Seconds of the window that tests wait for."""

REQUESTS: Final = Limit(name="requests", measure=Measure.REQUESTS, amount=20, per=PER)
MINUTE: Final = Limit(name="rpm", measure=Measure.REQUESTS, amount=20, per=60.0)
TOKENS: Final = Limit(name="tpm", measure=Measure.TOKENS, amount=1_000_000, per=60.0)
ONE: Final = Weight()

LATE: Final = 30.0
"""Seconds that no test is ever late by."""


def new_id() -> str:
    """The id of a booking, unique in the world."""
    return uuid.uuid4().hex


async def book(ledger: Ledger, account: str, *limits: Limit, weight: Weight = ONE) -> str:
    """The id of a booking that starts at once, as it must."""
    booking = new_id()
    outcome = await ledger.book(account, booking, limits, weight, max_delay=0.0)
    assert isinstance(outcome, Booked), outcome
    assert outcome.delay == 0.0
    return booking


async def book_ahead(
    ledger: Ledger, account: str, *limits: Limit, weight: Weight = ONE
) -> tuple[str, float]:
    """The id of a booking that may start later, and in how many seconds."""
    booking = new_id()
    outcome = await ledger.book(account, booking, limits, weight, max_delay=600.0)
    assert isinstance(outcome, Booked), outcome
    return booking, outcome.delay


async def delay_of_next(
    ledger: Ledger, account: str, *limits: Limit, weight: Weight = ONE
) -> float:
    """Seconds until the start of one more, which is booked."""
    _, delay = await book_ahead(ledger, account, *limits, weight=weight)
    return delay


async def taken(ledger: Ledger, account: str, *limits: Limit) -> tuple[int, ...]:
    """How much of each limit is used, or booked for later."""
    status = await ledger.status(account, limits)
    assert [limit.name for limit in status.limits] == [limit.name for limit in limits]
    return tuple(limit.used + limit.waiting for limit in status.limits)


def fullest(starts: Sequence[tuple[float, float]], per: float) -> int:
    """The most starts that lie in one half-open window of *per* seconds for certain.

    starts: The moments between which each was.
    """
    windows = [(earliest, earliest + per) for earliest, _ in starts]
    return max(sum(a <= first and last < b for first, last in starts) for a, b in windows)
