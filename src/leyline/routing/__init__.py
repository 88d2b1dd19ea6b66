"""Across services: which of them, in what order, how many at once."""

from leyline.routing.contest import Accept
from leyline.routing.fan_out import fan_out
from leyline.routing.requirements import Requirements, Strategy
from leyline.routing.router import Router
from leyline.routing.selection import Verdict

__all__ = ["Accept", "Requirements", "Router", "Strategy", "Verdict", "fan_out"]
