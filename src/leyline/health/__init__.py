"""Is a service usable? Checks in three tiers, the board of what is known, the monitor."""

from leyline.health.board import HealthBoard
from leyline.health.monitor import check_all, monitor
from leyline.health.probe import probe
from leyline.health.singleflight import SingleFlight

__all__ = ["HealthBoard", "SingleFlight", "check_all", "monitor", "probe"]
