"""Reasons for people, without the name of the service, which the reader knows."""

from leyline.errors import InvalidCallError, LeylineError, RejectedError
from leyline.model import Failure
from leyline.wording import one_line


def reason_of(error: LeylineError) -> str:
    """What *error* says."""
    if isinstance(error, RejectedError | InvalidCallError):
        return one_line(error.reason)
    return one_line(str(error))


def failure_reason(failure: Failure) -> str:
    """Why a real prompt was not answered."""
    return one_line(f"{failure.kind}: {failure.message}")
