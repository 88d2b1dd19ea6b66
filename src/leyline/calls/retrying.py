"""Whether a service is tried again after a failure, and when. Pure."""

from random import Random

from leyline.model import REMEDIES, Failure, FailureKind
from leyline.policies import RetryPolicy


def next_delay(
    policy: RetryPolicy,
    *,
    attempt: int,
    failure: Failure,
    idempotent: bool,
    started: bool,
    left: float | None,
    wall: float,
    rng: Random,
) -> float | None:
    """Seconds to wait before the next try of the same service; None: hand the failure on.

    attempt: The try that failed; 1 is the first. idempotent: Whether asking twice does no harm.
    started: Whether a process ran. left: Seconds to the deadline; None: there is none.
    wall: Unix time at which the run ended.

    A kind that can be tried again is, after a random delay, or what the service asked for if that
    is longer; a rate limit only where the service said when. A quota that is used up is not: some
    services name a short wait there, and mean the day. Nothing is where it asks
    for more than ``policy.longest_wait``, or where the deadline would have come by then.
    """
    remedy = REMEDIES[failure.kind]
    asked = _asked(failure, wall)
    if attempt >= policy.attempts or (started and not idempotent):
        return None
    soon = failure.kind is FailureKind.RATE_LIMITED and asked is not None
    if not remedy.retry and not soon:
        return None
    if asked is not None and asked > policy.longest_wait:
        return None
    delay = policy.delay(attempt, rng=rng, at_least=asked or 0.0)
    return None if left is not None and delay >= left else delay


def _asked(failure: Failure, wall: float) -> float | None:
    """Seconds that the service asked to wait; None: not said. A time that has passed is 0."""
    said = [] if failure.retry_after is None else [failure.retry_after]
    if failure.until is not None:
        said.append(failure.until - wall)
    return max(0.0, *said) if said else None
