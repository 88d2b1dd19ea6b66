"""Across services: which of them, in what order, how many at once."""

from leyline.routing.fan_out import fan_out

__all__ = ["fan_out"]
