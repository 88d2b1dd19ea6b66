"""What did that run mean? Knows nothing of processes or routing."""

from leyline.outcome.notices import RetryWatch
from leyline.outcome.reader import Outcome, OutcomeReader
from leyline.outcome.stream import StreamReader

__all__ = ["Outcome", "OutcomeReader", "RetryWatch", "StreamReader"]
