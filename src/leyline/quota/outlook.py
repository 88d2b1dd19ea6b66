"""What an admission last saw of its account, for those who must not wait for an answer."""

from collections.abc import Callable, Sequence

from leyline.clock import Clock
from leyline.limits import Limit, Measure, QuotaLevel, level_of
from leyline.quota.answers import AccountStatus, Booked, Refused


class Outlook:
    """How full the account was, and when it has room; as old as the last look into the store."""

    def __init__(
        self,
        limits: Sequence[Limit],
        clock: Clock,
        on_level: Callable[[QuotaLevel, QuotaLevel], None] | None,
    ) -> None:
        """on_level: Told of the level before and after, whenever a look shows a new one."""
        self._limits = {limit.name: limit for limit in limits}
        self._clock = clock
        self._on_level = on_level
        self._level = QuotaLevel.HEALTHY
        self._share = 0.0
        self._fades_from = self._fades_until = 0.0  # monotonic; what was used is free by then
        self._free_at = 0.0  # monotonic

    def left(self) -> float:
        """The part of the fullest limit that is free, 0 to 1, as far as this process knows."""
        now = self._clock.monotonic()
        if now >= self._fades_until:
            return 1.0
        faded = max(0.0, now - self._fades_from) / (self._fades_until - self._fades_from)
        return max(0.0, 1.0 - self._share * (1.0 - faded))

    def free_in(self) -> float:
        """Seconds until a start is possible, as far as this process knows; 0: now."""
        return max(0.0, self._free_at - self._clock.monotonic())

    def booked(self, outcome: Booked | Refused) -> None:
        """The store answered to a booking.

        Where it was refused for its tokens, a lighter one may have room all the same.
        """
        limit = self._limits.get(outcome.limit) if isinstance(outcome, Refused) else None
        if limit is None or limit.measure is Measure.REQUESTS:
            self._free_at = self._clock.monotonic() + outcome.delay
        if isinstance(outcome, Booked):
            self._use(outcome.share, outcome.fullest)
            self._show(level_of(outcome.share))
        elif limit is None:  # the service is closed
            self._show(QuotaLevel.CRITICAL)

    def closed(self, seconds: float) -> None:
        """The service asked to be left alone for so long."""
        self._free_at = max(self._free_at, self._clock.monotonic() + seconds)
        if seconds > 0:
            self._show(QuotaLevel.CRITICAL)

    def seen(self, status: AccountStatus) -> None:
        """The store was looked into."""
        full = [limit.frees_in or 0.0 for limit in status.limits if not limit.left]
        self._free_at = self._clock.monotonic() + max(status.closed_for, *full, 0.0)
        fullest = max(status.limits, key=lambda limit: limit.share, default=None)
        if fullest is not None:
            self._use(fullest.share, fullest.name)
        self._show(status.level)

    def _use(self, share: float, name: str) -> None:
        limit = self._limits.get(name)
        if limit is None:
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        self._share = share
        if limit.reset is None:  # it comes free little by little
            self._fades_from, self._fades_until = now, now + limit.per
        else:  # all at once
            ends = now + limit.reset.ends(wall) - wall
            self._fades_from, self._fades_until = ends - 1e-3, ends

    def _show(self, level: QuotaLevel) -> None:
        before, self._level = self._level, level
        if level is not before and self._on_level is not None:
            self._on_level(before, level)
