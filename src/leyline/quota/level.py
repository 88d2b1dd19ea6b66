"""How much of a quota is left, as people look at it."""

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
