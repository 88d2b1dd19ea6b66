"""How much of a quota is left, as people look at it."""

from collections.abc import Callable

from attrs import frozen

from leyline.limits import QuotaLevel
from leyline.quota.answers import AccountStatus, LimitStatus


@frozen(kw_only=True)
class QuotaStatus:
    """The quota of one service; its level is the worst of its limits'.

    account: Whose quota: the service's own, or that of its pool.
    closed_for: Seconds for which the service asked to be left alone, in its own words *reason*.
    """

    service: str
    account: str
    level: QuotaLevel
    limits: tuple[LimitStatus, ...]
    closed_for: float = 0.0
    reason: str = ""


class LevelWatch:
    """The level as it was seen last, and who is told when another is seen."""

    def __init__(self, on_change: Callable[[QuotaLevel, QuotaLevel], None] | None) -> None:
        self._seen = QuotaLevel.HEALTHY
        self._on_change = on_change

    def show(self, level: QuotaLevel) -> None:
        """It is *level* now."""
        before, self._seen = self._seen, level
        if level is not before and self._on_change is not None:
            self._on_change(before, level)


def quota_status(service: str, account: str, status: AccountStatus) -> QuotaStatus:
    """What *status* of the quota *account* means for *service*."""
    return QuotaStatus(
        service=service,
        account=account,
        level=status.level,
        limits=status.limits,
        closed_for=status.closed_for,
        reason=status.reason,
    )
