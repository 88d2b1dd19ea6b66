"""What a batch will take, foretold: the real accounts of the quotas, in a time that is counted.

Many rows are booked in one step where all limits are wide, so that any number of rows takes about
as long to foretell, some tenths of a second. No step takes more than the narrowest limit of its
service has room for: where that is one row (``rpm: 1``), each row is a step, and a hundred thousand
take some seconds.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field, frozen

from leyline.limits import Limit, Weight
from leyline.quota import Booked, Refused
from leyline.quota.account import Account

_STEPS: Final = 6_000
"""In about so many steps all rows are booked, where limits are wide."""

_SHARE: Final = 8
"""Into so many steps at least the narrowest limit of a service is cut."""

_MANY: Final = 200
"""Of so many windows one more or less is next to nothing: then a step may fill a whole one."""

RUNS: Final = "runs"
"""The bottleneck where no quota is one: how long runs take, and how many there are at once."""


@frozen(kw_only=True)
class Means:
    """What one service is expected to do.

    account: Whose quota. limits: Of it. used: What of each is used already, by name, and the
    seconds until it frees. concurrent: Runs at once. None: no limit.
    closed_for: Seconds until anything starts. seconds: Of one run. cost: US dollars of one row;
    None: unknown. input_tokens: Of one row, as seen; None: as estimated. output_tokens, requests:
    Of one row.
    """

    name: str
    account: str
    limits: tuple[Limit, ...] = ()
    used: Mapping[str, tuple[int, float]] = field(factory=dict[str, tuple[int, float]])
    concurrent: int | None = None
    closed_for: float = 0.0
    seconds: float = 10.0
    input_tokens: float | None = None
    output_tokens: float = 500.0
    requests: float = 1.0
    cost: float | None = None

    def prompt(self, estimated: float) -> float:
        """Tokens of a prompt that is estimated at so many."""
        return estimated if self.input_tokens is None else self.input_tokens


@frozen(kw_only=True)
class Load:
    """Rows that may be answered by the same services. tokens: Of all their prompts."""

    services: tuple[str, ...]
    rows: int
    tokens: int


@frozen(kw_only=True)
class Forecast:
    """What is to be expected.

    seconds: Until all is done; infinite where some row never can be. tokens: In and out.
    cost: US dollars as far as known; None: nothing is. unpriced: Rows whose cost is not known.
    rows: By service. bottleneck: The service and the limit that holds it up most, or ``RUNS``.
    """

    seconds: float
    tokens: int
    cost: float | None
    unpriced: int
    rows: Mapping[str, int]
    bottleneck: tuple[str, str]


def foretell(
    loads: Sequence[Load], services: Sequence[Means], *, lanes: int, wall: float
) -> Forecast:
    """What *loads* will take on *services*, asked in order, with *lanes* rows at once.

    wall: Unix time of the beginning, for calendar days. Raises KeyError for unknown services.
    """
    return _Simulation(
        left={load.services: load.rows for load in loads if load.rows},
        loads={load.services: load for load in loads if load.rows},
        servers={means.name: _Server(means) for means in services},
        lanes=lanes,
        wall=wall,
    ).run()


@define(eq=False)
class _Server:
    """One service. places: For runs at once, when each is free; none: there is no limit."""

    means: Means
    account: Account = field(factory=Account)
    places: list[float] = field(init=False)
    rows: int = 0
    tokens: float = 0.0
    step: int = 1

    @places.default  # pyright: ignore
    def _(self) -> list[float]:
        return [0.0] * (self.means.concurrent or 0)

    def weight(self, rows: int, prompt: float) -> Weight:
        """Of so many rows, their prompts of so many tokens each."""
        return Weight(
            requests=round(rows * self.means.requests),
            input_tokens=round(rows * self.means.prompt(prompt)),
            output_tokens=round(rows * self.means.output_tokens),
        )

    def free_at(self, now: float) -> float:
        """When one of its places for runs is free."""
        return max(now, self.places[0]) if self.places else now

    def occupy(self, start: float, most: int, work: float) -> int:
        """Run so many seconds of *work* from *start* in at most so many places; how many it has."""
        if not self.places:
            return most
        taken = 0
        while taken < most and self.places and self.places[0] <= start:
            heapq.heappop(self.places)
            taken += 1
        for _ in range(taken):
            heapq.heappush(self.places, start + work / taken)
        return taken


@define(eq=False, kw_only=True)
class _Simulation:
    left: dict[tuple[str, ...], int]
    loads: dict[tuple[str, ...], Load]
    servers: dict[str, _Server]
    lanes: int
    wall: float
    _free: list[tuple[float, int]] = field(factory=list[tuple[float, int]], init=False)
    _held: dict[tuple[str, str], float] = field(factory=dict[tuple[str, str], float], init=False)
    _waited: float = field(default=0.0, init=False)
    _ran: float = field(default=0.0, init=False)
    _end: float = field(default=0.0, init=False)

    def run(self) -> Forecast:
        self._prepare()
        heapq.heappush(self._free, (0.0, self.lanes))
        while self.left:
            now, lanes = heapq.heappop(self._free)
            while self._free and self._free[0][0] <= now:
                lanes += heapq.heappop(self._free)[1]
            while lanes and self.left:
                used = self._take(now, lanes)
                if not used:
                    return self._forecast(math.inf)
                lanes -= used
        return self._forecast(self._end)

    def _prepare(self) -> None:
        """Put into the accounts what is used already, and choose the size of the steps."""
        total = sum(self.left.values())
        tokens = sum(load.tokens for load in self.loads.values()) / max(1, total)
        accounts: dict[str, Account] = {}
        for server in self.servers.values():
            means = server.means
            if means.account not in accounts:
                accounts[means.account] = server.account
                self._use(server)
            server.account = accounts[means.account]
            one = server.weight(1, tokens)
            fits = (
                limit.amount / weight for limit in means.limits if (weight := one.of(limit.measure))
            )
            narrow = min(fits, default=math.inf)  # rows of one window
            share = 1 if total > _MANY * narrow else _SHARE
            server.step = max(1, int(min(math.ceil(total / _STEPS), narrow / share)))

    def _use(self, server: _Server) -> None:
        means, account = server.means, server.account
        account.tally.prepare(means.limits, 0.0, self.wall)
        for limit in means.limits:
            amount, frees_in = means.used.get(limit.name, (0, 0.0))
            if not amount:
                continue
            # Where in the window it was used nobody knows: in the middle of where it can be.
            at = 0.0 if limit.reset is not None else (frees_in - limit.per) / 2
            weight = Weight(requests=amount, input_tokens=amount)
            if limit.measure == "output_tokens":
                weight = Weight(output_tokens=amount)
            account.tally.enter([limit], weight, at, self.wall + at)
        if means.closed_for:
            account.close(self.wall + means.closed_for, "", now=0.0, wall=self.wall)

    def _take(self, now: float, lanes: int) -> int:
        """Let some rows begin, or wait for their turn; the lanes that they are in, 0: never."""
        names = max(self.left, key=lambda names: self.left[names] / self.loads[names].rows)
        load = self.loads[names]
        prompt = load.tokens / load.rows
        chosen = self._book(names, prompt, now)
        if chosen is None:
            return 0
        server, start, rows = chosen
        used = server.occupy(start, min(rows, lanes), server.means.seconds * rows)
        seconds = server.means.seconds * rows / used
        self._end = max(self._end, start + seconds)
        heapq.heappush(self._free, (start + seconds, used))
        server.rows += rows
        server.tokens += rows * (server.means.prompt(prompt) + server.means.output_tokens)
        self._ran += seconds * used
        self.left[names] -= rows
        if not self.left[names]:
            del self.left[names]
        return used

    def _book(
        self, names: tuple[str, ...], prompt: float, now: float
    ) -> tuple[_Server, float, int] | None:
        """A start for some rows, on the first service that has room now, else on the one that has
        room first; None: none ever has."""
        soonest, first, hindrances = math.inf, "", list[tuple[str, str]]()
        for name in names:
            server = self.servers[name]
            begins = server.free_at(now)
            if begins > now:
                delay, said = begins - now, "concurrent"
            else:
                rows = min(server.step, self.left[names])
                outcome = self._ask(server, rows, prompt, now, max_delay=0.0)
                if not isinstance(outcome, Refused):
                    return server, now, rows
                delay, said = outcome.delay, outcome.limit
            hindrances.append((name, said))
            if delay < soonest:
                soonest, first = delay, name
        if not first:
            return None
        server = self.servers[first]
        rows = min(server.step, self.left[names])
        begins = server.free_at(now)
        outcome = self._ask(server, rows, prompt, begins, max_delay=math.inf)
        if isinstance(outcome, Refused):
            return None
        start = begins + outcome.delay
        for hindrance in hindrances:
            self._held[hindrance] = self._held.get(hindrance, 0.0) + (start - now) * rows
        self._waited += (start - now) * rows
        return server, start, rows

    def _ask(
        self, server: _Server, rows: int, prompt: float, at: float, *, max_delay: float
    ) -> Booked | Refused:
        """Book it, and settle it: what is expected is what is used."""
        limits, weight = server.means.limits, server.weight(rows, prompt)
        outcome = server.account.book(
            "", limits, weight, now=at, wall=self.wall + at, max_delay=max_delay
        )
        if not isinstance(outcome, Refused):
            server.account.settle("", limits, weight)
        return outcome

    def _forecast(self, seconds: float) -> Forecast:
        costs = [(s.rows, s.means.cost) for s in self.servers.values() if s.rows]
        known = [rows * cost for rows, cost in costs if cost is not None]
        return Forecast(
            seconds=seconds,
            tokens=round(sum(server.tokens for server in self.servers.values())),
            cost=sum(known) if known else None,
            unpriced=sum(rows for rows, cost in costs if cost is None),
            rows={name: server.rows for name, server in self.servers.items() if server.rows},
            bottleneck=self._bottleneck(),
        )

    def _bottleneck(self) -> tuple[str, str]:
        """What holds up most the service that does most."""
        held = {names[0] for names in self._held}
        busiest = max(held, key=lambda name: self.servers[name].rows, default="")
        if not busiest or self._waited <= self._ran / 4:
            return "", RUNS
        its = {names: by for names, by in self._held.items() if names[0] == busiest}
        return max(its, key=lambda names: its[names])
