"""One call on one service."""

from leyline.calls.checkup import Checkup
from leyline.calls.hearing import NOBODY, Audience
from leyline.calls.job import Handler, Job
from leyline.calls.request import CallOptions, Request
from leyline.calls.roster import Roster
from leyline.calls.service import RunFactory, Service

__all__ = [
    "NOBODY",
    "Audience",
    "CallOptions",
    "Checkup",
    "Handler",
    "Job",
    "Request",
    "Roster",
    "RunFactory",
    "Service",
]
