"""One call on one service."""

from leyline.calls.run import Service

__all__ = ["Service"]
