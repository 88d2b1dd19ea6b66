"""How much of a quota is left, as people look at it."""

from enum import StrEnum
from typing import Final

from attrs import frozen

from leyline.quota.account import AccountStatus

_WARNING: Final = 0.80
_CRITICAL: Final = 0.95


class QuotaLevel(StrEnum):
    """Healthy below 80 % used, warning up to 95 %, critical above or while it is closed."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"


@frozen(kw_only=True)
class LimitUse:
    """One limit.

    frees_in: Seconds until some of what is used is free again. None: nothing is used.
    """

    name: str
    used: int
    amount: int
    level: QuotaLevel
    frees_in: float | None


@frozen(kw_only=True)
class QuotaStatus:
    """The quota of one service; its level is the worst of its limits'.

    account: Whose quota: the service's own, or that of its pool.
    closed_for: Seconds for which the service asked to be left alone, in its own words *reason*.
    """

    service: str
    account: str
    level: QuotaLevel
    limits: tuple[LimitUse, ...]
    closed_for: float = 0.0
    reason: str = ""


def quota_status(service: str, account: str, status: AccountStatus) -> QuotaStatus:
    """What *status* of the quota *account* means for *service*."""
    limits = tuple(
        LimitUse(
            name=limit.name,
            used=limit.used,
            amount=limit.amount,
            level=level_of(limit.used, limit.amount),
            frees_in=limit.frees_in,
        )
        for limit in status.limits
    )
    order = list(QuotaLevel)
    worst = max((limit.level for limit in limits), key=order.index, default=QuotaLevel.HEALTHY)
    return QuotaStatus(
        service=service,
        account=account,
        level=QuotaLevel.CRITICAL if status.closed_for > 0 else worst,
        limits=limits,
        closed_for=status.closed_for,
        reason=status.reason,
    )


def level_of(used: int, amount: int) -> QuotaLevel:
    """The level at which *used* of *amount* stands."""
    if used > amount * _CRITICAL:
        return QuotaLevel.CRITICAL
    return QuotaLevel.WARNING if used >= amount * _WARNING else QuotaLevel.HEALTHY
