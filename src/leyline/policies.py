"""How one service's failures are met: frozen values of the configuration, and plain formulas."""

import math
from random import Random

from attrs import field, frozen
from attrs.validators import ge, gt, le, lt


@frozen(kw_only=True)
class RetryPolicy:
    """When to try one service again.

    attempts: Tries in all, the first included. At least 1.
    base, cap: Seconds; the wait before try n + 1 is uniform in [0, min(cap, base * 2**(n-1))]
        (full jitter), or what the service asked for, if that is longer.
    longest_wait: Seconds; where a service asks for a longer wait, it is not tried again here.
    """

    attempts: int = field(default=3, validator=ge(1))
    base: float = field(default=0.5, validator=[ge(0), lt(math.inf)])
    cap: float = field(default=30.0, validator=[ge(0), lt(math.inf)])
    longest_wait: float = field(default=60.0, validator=ge(0))

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

    share: float = field(default=0.2, validator=[ge(0), le(1)])
    least: int = field(default=3, validator=ge(0))
    window: float = field(default=60.0, validator=gt(0))


@frozen(kw_only=True)
class BreakerPolicy:
    """When a service that fails is left alone for a while.

    consecutive: Failures in a row that open it.
    rate, volume, window: It also opens where this part of at least *volume* calls of the last
        *window* seconds failed.
    opening, cap: Seconds that it stays open the first time, and at most; doubled each time that
        the probe fails, and shortened or lengthened by up to a tenth at random.
    """

    consecutive: int = field(default=5, validator=ge(1))
    rate: float = field(default=0.5, validator=[gt(0), le(1)])
    volume: int = field(default=10, validator=ge(1))
    window: float = field(default=60.0, validator=gt(0))
    opening: float = field(default=10.0, validator=gt(0))
    cap: float = field(default=300.0, validator=gt(0))


@frozen(kw_only=True)
class ConcurrencyPolicy:
    """How many runs of a service there may be at once, in this process, as it bears them.

    initial: To begin with, as far as the bounds allow. least, most: It never leaves these bounds.

    Raises ValueError if *least* is more than *most*.
    """

    initial: int = field(default=1000, validator=ge(1))
    least: int = field(default=1, validator=ge(1))
    most: int = field(default=1000, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"'least' must not be more than 'most': {self.least} > {self.most}")
