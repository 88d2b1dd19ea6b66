"""What a call is told that finds no room in time: which limit, how much is used, when to return."""

import math

from leyline.errors import QuotaExceededError
from leyline.quota.account import AccountStatus, Refused
from leyline.wording import one_line


def refused(service: str, account: str, outcome: Refused) -> QuotaExceededError:
    """A start of *service* that the store did not book on *account*, its own or its pool's."""
    pool = f' in the pool "{account}"' if account != service else ""
    if math.isinf(outcome.delay):
        allowed = f"{outcome.limit} allows{pool} ({outcome.amount})"
        return _error(service, outcome, f"the call alone is more than {allowed}; cut it up", None)
    if outcome.limit == "closed":
        said = f' ("{one_line(outcome.reason)}")' if outcome.reason else ""
        reason = f"closed by the service itself{said}"
    else:
        reason = f"{outcome.used} of {outcome.amount} are used of {outcome.limit}{pool}"
        if outcome.waiting:
            reason += f", and {outcome.waiting} are booked"
    reason += f"; it can start in {outcome.delay:.1f} s, past its deadline"
    return _error(service, outcome, reason, outcome.delay)


def overdue(service: str, account: str, status: AccountStatus, wait: float) -> QuotaExceededError:
    """One whose deadline lies before its turn, *wait* seconds away or more.

    It never asked the store: the limit that is named is the one used most.
    """
    if status.closed_for > 0:
        outcome = Refused(delay=max(wait, status.closed_for), limit="closed", reason=status.reason)
        return refused(service, account, outcome)
    fullest = max(status.limits, key=lambda limit: limit.share, default=None)
    name, used, amount = (
        ("", 0, 0) if fullest is None else (fullest.name, fullest.used, fullest.amount)
    )
    outcome = Refused(delay=wait, limit=name, used=used, amount=amount)
    reason = "others wait before it, and its deadline comes first"
    return _error(service, outcome, reason, wait)


def _error(
    service: str, outcome: Refused, reason: str, retry_after: float | None
) -> QuotaExceededError:
    return QuotaExceededError(
        service, reason, retry_after, outcome.limit, outcome.used, outcome.amount
    )
