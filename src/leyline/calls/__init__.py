"""One call on one service."""

from leyline.calls.bookkeeping import NO_BOOK, Bookkeeping
from leyline.calls.call import Call, CallOptions
from leyline.calls.checkup import Checkup
from leyline.calls.hearing import NOBODY, Audience
from leyline.calls.job import Handler, Job
from leyline.calls.roster import Roster
from leyline.calls.service import RunFactory, Service

__all__ = [
    "NOBODY",
    "NO_BOOK",
    "Audience",
    "Bookkeeping",
    "Call",
    "CallOptions",
    "Checkup",
    "Handler",
    "Job",
    "Roster",
    "RunFactory",
    "Service",
]
