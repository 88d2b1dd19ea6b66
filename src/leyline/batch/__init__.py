"""Files of prompts, answered to the end: what to ask, what came of it, and how to go on."""

from leyline.batch.errors import BatchError, BatchInputError
from leyline.batch.recipe import Recipe, Row
from leyline.batch.source import Format, Source

__all__ = ["BatchError", "BatchInputError", "Format", "Recipe", "Row", "Source"]
