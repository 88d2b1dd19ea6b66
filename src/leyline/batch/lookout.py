"""Keeps an eye on a running batch: its quotas, the clock, and whether it is worth waiting."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

import anyio
from attrs import define, field, frozen

from leyline.batch.forecast import Room, time_left
from leyline.batch.run import Run
from leyline.batch.settings import Ending, Settings
from leyline.config import ServiceConfig
from leyline.errors import LedgerError
from leyline.limits import Limit, Measure
from leyline.model import HealthReport
from leyline.quota import LimitStatus, QuotaStatus
from leyline.quota_limits import read_quota_limits
from leyline.service_registry import ServiceRegistry

_LOOK_SECONDS: Final = 1.0
_LONG: Final = 60.0
"""Seconds from which on a wait for a quota is spoken of, or not waited for."""


@frozen(kw_only=True)
class Sight:
    """One service as it was last seen. limits: What they are, by name. health: What is believed."""

    quota: QuotaStatus
    limits: Mapping[str, Limit]
    concurrent: int | None
    health: HealthReport

    def blocked(self, tokens: float) -> tuple[float, LimitStatus | None]:
        """Seconds until a row of so many tokens may start, and the limit in the way."""
        seconds, hindrance = self.quota.closed_for, None
        for status in self.quota.limits:
            need = 1.0 if self._measure(status) is Measure.REQUESTS else max(1.0, tokens)
            if status.left < need and (status.frees_in or 0.0) > seconds:
                seconds, hindrance = status.frees_in or 0.0, status
        return seconds, hindrance

    def room(self, tokens: float) -> Room:
        """What it allows from now on."""
        limits = [(self.limits[s.name], s) for s in self.quota.limits if s.name in self.limits]
        return Room(limits=limits, closed_for=self.quota.closed_for, tokens=tokens)

    def _measure(self, status: LimitStatus) -> Measure:
        limit = self.limits.get(status.name)
        return Measure.REQUESTS if limit is None else limit.measure


@define(eq=False)
class Lookout:
    """Looks about once a second, by ``watch``. tell: Says something to people.

    sights: Every service that may answer, as it was last seen.
    """

    run: Run
    registry: ServiceRegistry
    settings: Settings
    tell: Callable[[str], None]
    sights: dict[str, Sight] = field(factory=dict[str, Sight], init=False)
    _unpriced: set[str] = field(factory=set[str], init=False)  # services that were spoken of
    _waits_until: float = field(default=0.0, init=False)  # Unix time, as it was told

    async def watch(self) -> None:
        """Look, until cancelled."""
        try:
            while True:
                await self._watch()
                await anyio.sleep(_LOOK_SECONDS)
        finally:
            self._heed_costs()  # a batch may be over before the second look

    async def _watch(self) -> None:
        if self.settings.until is not None and time.time() >= self.settings.until:
            self.run.stop(Ending.TIME)
        self._heed_costs()
        try:
            await self._look()
        except LedgerError:
            pass  # those who start calls meet it too, and end the batch
        else:
            self._heed_quotas()

    def seconds_left(self) -> float | None:
        """Until all rows are done, as the quotas and the speed so far allow; None: nobody knows."""
        progress = self.run.progress
        if progress.seconds_each is None or not self.sights:
            return None
        lanes = self.settings.concurrency
        slots = [sight.concurrent for sight in self.sights.values()]
        if all(slots):
            lanes = min(lanes, sum(slot or 0 for slot in slots))
        rooms = [sight.room(progress.tokens_each) for sight in self.sights.values()]
        left = time_left(progress.sums.left, rooms, lanes=lanes, seconds=progress.seconds_each)
        return None if math.isinf(left) else left

    async def _look(self) -> None:
        registered = self.registry.services
        for name in self.settings.services or tuple(registered):
            self.sights[name] = await self._see(name, registered[name])

    async def _see(self, name: str, config: ServiceConfig) -> Sight:
        known = self.sights.get(name)
        if known is None:
            quota, _ = read_quota_limits(config.quota_limits)
            limits, concurrent = {limit.name: limit for limit in quota.limits}, quota.concurrent
        else:
            limits, concurrent = dict(known.limits), known.concurrent
        return Sight(
            quota=await self.registry.quota_status(name),
            limits=limits,
            concurrent=concurrent,
            health=self.registry.health(name),
        )

    def _heed_costs(self) -> None:
        """Say of each service, once, that a limit of costs does not hold it back."""
        if self.settings.max_cost is None:
            return
        for name in sorted(self.run.progress.unpriced.keys() - self._unpriced):
            self._unpriced.add(name)
            self.tell(f"nobody knows what an answer of {name} costs; --max-cost does not count it")

    def _heed_quotas(self) -> None:
        """Say that all wait for a quota that is used up, or end."""
        tokens = self.run.progress.tokens_each
        blocks = {name: sight.blocked(tokens) for name, sight in self.sights.items()}
        first = min(blocks, key=lambda name: blocks[name][0], default=None)
        if first is None or self.run.busy or not self.run.waiting:
            return
        seconds, limit = blocks[first]
        until = time.time() + seconds
        if seconds <= _LONG:
            return
        if not self.settings.wait:
            self.run.stop(Ending.QUOTA)
        if until > self._waits_until + _LONG:
            self._waits_until = until
            self.tell(f"{self._words(limit, first)}; {self._then(until)}")

    def _words(self, limit: LimitStatus | None, first: str) -> str:
        if limit is None:
            why = self.sights[first].quota.reason
            return f"{first} asked to be left alone" + (f" ({why})" if why else "")
        used_up = f"{limit.name} {limit.used:,} of {limit.amount:,}"
        others = "" if len(self.sights) == 1 else ", and of the others for longer"
        return f"the quota of {first} is used up ({used_up}){others}"

    def _then(self, until: float) -> str:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(until))
        return f"it goes on at {when}" if self.settings.wait else f"there is room again at {when}"
