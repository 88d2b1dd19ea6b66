"""One call on one service."""

from leyline.calls.checkup import Checkup
from leyline.calls.roster import Roster
from leyline.calls.run import Service

__all__ = ["Checkup", "Roster", "Service"]
