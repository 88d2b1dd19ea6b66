"""What an account, and so every ledger, answers."""

from attrs import frozen


@frozen(kw_only=True)
class Booked:
    """A start that is reserved. delay: Seconds until it."""

    delay: float


@frozen(kw_only=True)
class Refused:
    """No start in time; nothing was written.

    delay: Seconds until the earliest start; infinite if there is none.
    limit: Name of the limit that stands in the way; ``closed`` where the service said so itself.
    used, amount: How much of it is used. reason: The service's own words, where it is closed.
    """

    delay: float
    limit: str
    used: int = 0
    amount: int = 0
    reason: str = ""


@frozen(kw_only=True)
class LimitStatus:
    """How much of one limit is used.

    frees_in: Seconds until some of it is free. None: nothing is used.
    """

    name: str
    used: int
    amount: int
    frees_in: float | None


@frozen(kw_only=True)
class AccountStatus:
    """A look at a quota. closed_for: Seconds for which the service is closed; 0: it is open."""

    limits: tuple[LimitStatus, ...]
    closed_for: float = 0.0
    reason: str = ""
