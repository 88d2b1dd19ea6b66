"""Quotas shared between machines, in Redis or Valkey: one script a transaction, one key an account.

What is decided stands in ``account.lua``, beside this file, and is what ``Account`` decides.
"""

import functools
import json
import math
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.errors import LedgerError
from leyline.limits import DailyReset, Limit, Weight
from leyline.quota.account import AccountStatus, Booked, LimitStatus, Refused
from leyline.quota.redis_server import RedisServer, foreign
from leyline.quota.windows import slack

_DAYS_AHEAD: Final = 8
"""Calendar days from a moment on that the script is told of."""


class RedisLedger:
    """A ledger in a Redis or Valkey server, for all machines that reach it; for one event loop.

    url: ``redis://[[user]:password@]host[:port][/db]``; ``rediss://`` for TLS, ``valkey://`` and
    ``valkeys://`` mean the same, ``unix:///path/to/socket``. A password in it is never shown.

    All times are the server's: clocks of clients may differ. A call of a method takes at most 5 s,
    then it is a LedgerError; an answer that was lost on its way may leave a booking behind, which
    takes up room until its window is over. Once begun, a transaction is not cancelled.

    A store that lost its state (flushed, restarted without persistence, failed over) begins with
    nothing used: what is lost is lost. Bookings that are gone are booked again by ``confirm``,
    and ``settle`` and ``refund`` return False for them. For quotas that must survive that, switch
    on persistence (``appendonly yes``) and let the server evict nothing (``noeviction``).

    Raises LedgerError if *url* cannot be used or redis-py (the extra ``redis``) is not installed.
    """

    def __init__(self, url: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        script = resources.files("leyline.quota").joinpath("account.lua").read_text("utf-8")
        self._server = RedisServer(url, script)
        self._wall = clock.wall

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._server.address!r})"

    async def book(
        self,
        account: str,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        max_delay: float,
        dry_run: bool = False,
    ) -> Booked | Refused:
        """See ``Ledger``."""
        reply = await self._act(
            "book",
            account,
            limits,
            weight,
            calendar=True,
            booking=booking,
            max_delay=max_delay,
            dry_run=dry_run,
        )
        return _booked(reply)

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        """See ``Ledger``."""
        shortest = min((limit.per for limit in limits if limit.reset is None), default=math.inf)
        reply = await self._act(
            "confirm",
            account,
            limits,
            weight,
            calendar=True,
            booking=booking,
            slack=slack(shortest),
        )
        outcome = _booked(reply)
        assert isinstance(outcome, Booked)  # it did fit before
        return outcome

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        """See ``Ledger``."""
        verdict, *_ = await self._act("settle", account, limits, weight, booking=booking)
        return verdict == "done"

    async def refund(self, account: str, booking: str) -> bool:
        """See ``Ledger``."""
        verdict, *_ = await self._act("refund", account, booking=booking)
        return verdict == "done"

    async def throttle(self, account: str, until: float, reason: str) -> None:
        """See ``Ledger``."""
        readable = reason.encode(errors="replace").decode()  # half a character is no JSON
        await self._act("throttle", account, until_=until, reason=readable)

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        """See ``Ledger``."""
        reply = await self._act("status", account, limits, calendar=True)
        _, _, closed_for, reason, *parts = reply
        return AccountStatus(
            limits=tuple(
                LimitStatus(
                    name=limit.name,
                    used=int(used),
                    amount=limit.amount,
                    waiting=int(waiting),
                    frees_in=float(frees) if frees else None,
                )
                for limit, used, waiting, frees in zip(
                    limits, parts[::3], parts[1::3], parts[2::3], strict=True
                )
            ),
            closed_for=float(closed_for),
            reason=reason,
        )

    async def aclose(self) -> None:
        """See ``Ledger``."""
        await self._server.aclose()

    async def _act(
        self,
        act: str,
        account: str,
        limits: Sequence[Limit] = (),
        weight: Weight | None = None,
        *,
        calendar: bool = False,
        **more: object,
    ) -> list[str]:
        """What the script replies: what came of it, its time, and more.

        calendar: Whether it has to know the days of *limits*; then it may ask for later ones.
        """
        moments = (self._wall(),) if calendar else ()
        key = f"leyline:{{{account}}}"
        while True:
            described = [_described(limit, weight, moments) for limit in limits]
            request = json.dumps({"act": act, "limits": described, **more})
            reply = await self._server.run(key, request)
            match reply:
                case ["day", _, moment]:
                    moments = (*moments, float(moment))
                case ["version", _, version]:
                    raise LedgerError(
                        self._server.address,
                        f"{key} was written by a newer leyline (version {version} of the state); "
                        "upgrade leyline here, or use another database",
                    )
                case ["foreign", _]:
                    raise LedgerError(self._server.address, foreign(key))
                case _:
                    return reply


def _described(limit: Limit, weight: Weight | None, moments: Sequence[float]) -> dict[str, Any]:
    """A limit as the script takes it, with the calendar days about each of *moments*."""
    described: dict[str, Any] = {
        "name": limit.name,
        "measure": limit.measure,
        "amount": limit.amount,
        "per": limit.per,
        "span": limit.per + limit.guard + slack(limit.per),
        "weight": weight.of(limit.measure) if weight else 0,
    }
    if limit.reset is not None:
        days = [day for moment in moments for day in _days(limit.reset, int(moment // 86_400))]
        described |= {"days": days, "late": limit.guard + slack(limit.per)}
    return described


@functools.lru_cache(maxsize=256)
def _days(reset: DailyReset, day: int) -> list[tuple[int, float, float]]:
    """The calendar days about the *day*-th day of Unix time: number, beginning, end."""
    begins = reset.ends((day - 2) * 86_400.0)
    days: list[tuple[int, float, float]] = []
    for _ in range(_DAYS_AHEAD + 2):
        ends = reset.ends(begins)
        days.append((reset.day(begins), begins, ends))
        begins = ends
    return days


def _booked(reply: list[str]) -> Booked | Refused:
    match reply:
        case ["booked", _, delay, share, fullest]:
            return Booked(delay=float(delay), share=float(share), fullest=fullest)
        case [_, _, delay, limit, used, amount, waiting, reason]:
            return Refused(
                delay=float(delay),
                limit=limit,
                used=int(used),
                amount=int(amount),
                waiting=int(waiting),
                reason=reason,
            )
        case _:
            raise AssertionError(reply)
