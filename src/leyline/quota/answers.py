"""What an account, and so every ledger, answers."""

from attrs import field, frozen

from leyline.limits import QuotaLevel, level_of


@frozen(kw_only=True)
class Booked:
    """A start that is reserved.

    delay: Seconds until it. share: The part used of the fullest limit, this start included.
    fullest: Its name; empty where there is no limit. Both are for people, and decide nothing.
    """

    delay: float
    share: float = field(default=0.0, eq=False)
    fullest: str = field(default="", eq=False)


@frozen(kw_only=True)
class Refused:
    """No start in time; nothing was written.

    delay: Seconds until the earliest start; infinite if there is none.
    limit: Name of the limit that stands in the way; ``closed`` where the service said so itself.
    used, amount: How much of it is used. waiting: What is booked for later, beside that.
    reason: The service's own words, where it is closed.
    """

    delay: float
    limit: str
    used: int = 0
    amount: int = 0
    waiting: int = 0
    reason: str = ""


@frozen(kw_only=True)
class LimitStatus:
    """How much of one limit is used.

    used: By what has started; of a calendar day, by what is booked for later on it as well. It may
        be more than the amount, where a run used more than was reserved for it.
    waiting: What is booked for later, beside that. level: Of both together.
    frees_in: Seconds until some of it is free. None: nothing is used.
    """

    name: str
    used: int
    amount: int
    waiting: int = 0
    level: QuotaLevel = field(init=False)
    frees_in: float | None

    @level.default  # pyright: ignore
    def _(self) -> QuotaLevel:
        return level_of(self.share)

    @property
    def share(self) -> float:
        """The part that is taken, by what is used and what is waiting; 1 is all of it."""
        return (self.used + self.waiting) / self.amount

    @property
    def left(self) -> int:
        """What nobody has taken yet."""
        return max(0, self.amount - self.used - self.waiting)


@frozen(kw_only=True)
class AccountStatus:
    """A look at a quota.

    closed_for: Seconds for which the service asked to be left alone, in its own words *reason*;
    0: it is open.
    """

    limits: tuple[LimitStatus, ...]
    closed_for: float = 0.0
    reason: str = ""

    @property
    def level(self) -> QuotaLevel:
        """Of the fullest limit; critical while it is closed."""
        if self.closed_for > 0:
            return QuotaLevel.CRITICAL
        return level_of(max((limit.share for limit in self.limits), default=0.0))
