"""Where ``fullest`` used to be."""

from leyline.testing.ledgers import fullest

__all__ = ["fullest"]
