"""One of several processes that want all of one quota, through the admission that users have.

Run as a program (``python -m tests.quota.competitor PLAN``, the JSON of a ``Plan``): it says
"ready", reads from its input the moment to begin at, and writes each start into its log. Moments
are those of ``uptime``, the same in all processes of a machine.
"""

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TextIO

import anyio
from attrs import asdict, define, evolve, field, frozen

from leyline.clock import SYSTEM_CLOCK
from leyline.limits import Limit, Measure, Weight
from leyline.quota import Booked, Ledger, Refused
from leyline.quota.account import AccountStatus
from leyline.quota.accounts_file import uptime
from leyline.quota.admission import Admission
from leyline.quota.store import Store


@frozen(kw_only=True)
class Plan:
    """What one process does with the quota ``svc`` of *store*: *amount* starts per *per* seconds.

    tasks: How many call, one call after another each, for *seconds*. most: Calls a task; None: no
    end. close_after: Seconds after which it closes the service for *closed_for*; None: never.
    tells: Prints the moment of each start that it books.
    """

    store: str
    log: str
    amount: int
    per: float
    seconds: float
    tasks: int = 4
    most: int | None = None
    close_after: float | None = None
    closed_for: float = 0.0
    tells: bool = False

    @property
    def limit(self) -> Limit:
        return Limit(name="shared", measure=Measure.REQUESTS, amount=self.amount, per=self.per)


@define(kw_only=True)
class Turn:
    """How one call came to its start.

    first: Before the transaction that booked it first. booked: After that. due: What the last one
    said, and so the earliest moment of its start. at: Its start, as soon as ``admit`` returned.
    transactions: All for it.
    """

    first: float
    booked: float = 0.0
    due: float = 0.0
    at: float = 0.0
    transactions: int = 0


@define
class WatchedLedger:
    """The ledger within, and what was asked of it for which booking. tells: See ``Plan``."""

    within: Ledger
    tells: bool = False
    turns: dict[str, Turn] = field(factory=dict[str, Turn])

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
        turn, asked = self._ask(booking)
        outcome = await self.within.book(
            account, booking, limits, weight, max_delay=max_delay, dry_run=dry_run
        )
        turn.booked = turn.booked or uptime()
        turn.due = asked + outcome.delay
        if self.tells:
            print(uptime() + outcome.delay, flush=True)
        return outcome

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        turn, asked = self._ask(booking)
        outcome = await self.within.confirm(account, booking, limits, weight)
        turn.due = asked + outcome.delay
        return outcome

    async def refund(self, account: str, booking: str) -> bool:
        self._ask(booking)
        return await self.within.refund(account, booking)

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        return await self.within.settle(account, booking, limits, weight)

    async def throttle(self, account: str, until: float, reason: str) -> None:
        await self.within.throttle(account, until, reason)

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        return await self.within.status(account, limits)

    async def aclose(self) -> None:
        await self.within.aclose()

    def _ask(self, booking: str) -> tuple[Turn, float]:
        now = uptime()
        turn = self.turns.setdefault(booking, Turn(first=now))
        turn.transactions += 1
        return turn, now


@define
class Competitor:
    """The calls of one process."""

    plan: Plan
    until: float
    ledger: WatchedLedger
    log: TextIO
    admission: Admission = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.admission = Admission("svc", (self.plan.limit,), self.ledger, SYSTEM_CLOCK)

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(self.plan.tasks):
                group.start_soon(self._call)
            if self.plan.close_after is not None:
                await anyio.sleep(self.plan.close_after)
                until, opens = time.time() + self.plan.closed_for, uptime() + self.plan.closed_for
                await self.admission.throttle(until, f"retry in {self.plan.closed_for:g} s")
                self.write({"closed": uptime(), "opens": opens})

    def write(self, facts: dict[str, float]) -> None:
        print(json.dumps(facts), file=self.log)

    async def _call(self) -> None:
        calls = 0
        while uptime() < self.until and calls != self.plan.most:
            grant = await self.admission.admit(Weight(), deadline=None)
            at = uptime()
            turn = evolve(self.ledger.turns.pop(grant.booking), at=at)
            self.write(asdict(turn))
            await self.admission.settle(grant.booking, Weight())
            calls += 1


async def main(plan: Plan) -> None:
    ledger = WatchedLedger(Store.at(plan.store, SYSTEM_CLOCK), plan.tells)
    await ledger.status("svc", (plan.limit,))  # opens it
    print("ready", flush=True)
    begin = float(await anyio.to_thread.run_sync(sys.stdin.readline))
    await anyio.sleep(begin - uptime())
    with open(plan.log, "w", buffering=1) as log:
        await Competitor(plan, begin + plan.seconds, ledger, log).run()
    await ledger.aclose()


if __name__ == "__main__":
    anyio.run(partial(main, Plan(**json.loads(sys.argv[1]))))
