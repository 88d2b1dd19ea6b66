"""One call on one service."""

from leyline.calls.checkup import Checkup
from leyline.calls.hearing import NOBODY, Audience
from leyline.calls.request import CallOptions, Request
from leyline.calls.roster import Roster
from leyline.calls.service import Service

__all__ = ["NOBODY", "Audience", "CallOptions", "Checkup", "Request", "Roster", "Service"]
