"""How one service's failures are met: frozen values of the configuration, and plain formulas."""

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

from attrs import Attribute, Factory, field, frozen

from leyline.plain import shown


def _expect(words: str, holds: Callable[[float], bool]) -> Callable[..., None]:
    """A validator of a number, that says what was expected of which field."""

    def check(_: object, attribute: "Attribute[Any]", value: float) -> None:
        if not holds(value):
            raise ValueError(f"{attribute.name}: expected {words}, got {shown(value)}")

    return check


_ONE_OR_MORE: Final = _expect("1 or more", lambda value: value >= 1)
_ZERO_OR_MORE: Final = _expect("zero or more", lambda value: value >= 0)
_FINITE: Final = _expect("zero or more, and finite", lambda value: 0 <= value < math.inf)
_POSITIVE: Final = _expect("a positive number", lambda value: value > 0)
_SHARE: Final = _expect("a number from 0 to 1", lambda value: 0 <= value <= 1)
_PART: Final = _expect("more than 0, and at most 1", lambda value: 0 < value <= 1)

_CAP: Final = 60.0


@frozen(kw_only=True)
class RetryPolicy:
    """When to try one service again.

    attempts: Tries in all, the first included. At least 1.
    base, cap: Seconds; the wait before try n + 1 is uniform in [0, min(cap, base * 2**(n-1))]
        (full jitter), or what the service asked for, if that is longer.
    longest_wait: Seconds; where a service asks for a longer wait, it is not tried again here.
    """

    attempts: int = field(default=3, validator=_ONE_OR_MORE)
    base: float = field(default=0.5, validator=_FINITE)
    cap: float = field(default=30.0, validator=_FINITE)
    longest_wait: float = field(default=60.0, validator=_ZERO_OR_MORE)

    def delay(self, attempt: int, *, rng: Random, at_least: float = 0.0) -> float:
        """Seconds to wait after try number *attempt* (1 is the first) has failed.

        at_least: What the service asked for. Up to a tenth is added, so that not all come at once.
        """
        most = min(self.cap, self.base * 2.0 ** min(attempt - 1, 1000))
        return max(rng.uniform(0.0, most), at_least * rng.uniform(1.0, 1.1))


@frozen(kw_only=True)
class BudgetPolicy:
    """How much a service may be asked beyond what callers asked: retries and hedges together.

    share: Part of what callers asked for in the last *window* seconds.
    least: So many more; anew when nobody has wanted to ask again for *window* seconds, so that a
        service that is rarely called can be tried again too.
    """

    share: float = field(default=0.2, validator=_SHARE)
    least: int = field(default=3, validator=_ZERO_OR_MORE)
    window: float = field(default=60.0, validator=_POSITIVE)


@frozen(kw_only=True)
class BreakerPolicy:
    """When a service that fails is left alone for a while.

    consecutive: Failures in a row that open it.
    rate, volume, window: It also opens where this part of at least *volume* calls of the last
        *window* seconds failed.
    opening, cap: Seconds that it stays open the first time, and at most; doubled each time that
        the probe fails, and shortened or lengthened by up to a tenth at random. However long
        an outage, about *cap* seconds after its end somebody has tried. A minute, or *opening*
        where that is more.

    Raises ValueError if *opening* is more than a *cap* that was given.
    """

    consecutive: int = field(default=5, validator=_ONE_OR_MORE)
    rate: float = field(default=0.5, validator=_PART)
    volume: int = field(default=10, validator=_ONE_OR_MORE)
    window: float = field(default=60.0, validator=_POSITIVE)
    opening: float = field(default=10.0, validator=_POSITIVE)
    cap: float = field(
        default=Factory(lambda self: max(_CAP, self.opening), takes_self=True), validator=_POSITIVE
    )

    def __attrs_post_init__(self) -> None:
        if self.opening > self.cap:
            raise ValueError(
                f"expected opening to be at most cap, got {self.opening:g} and {self.cap:g}"
            )


@frozen(kw_only=True)
class ConcurrencyPolicy:
    """How many runs of a service there may be at once, in this process, as it bears them.

    initial: To begin with, as far as the bounds allow. least, most: It never leaves these bounds.

    Raises ValueError if *least* is more than *most*.
    """

    initial: int = field(default=10_000, validator=_ONE_OR_MORE)
    least: int = field(default=1, validator=_ONE_OR_MORE)
    most: int = field(default=10_000, validator=_ONE_OR_MORE)

    def __attrs_post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"expected least to be at most most, got {self.least} and {self.most}")
