"""What did that run mean? Knows nothing of processes or routing."""

from leyline.outcome.reader import Outcome, OutcomeReader

__all__ = ["Outcome", "OutcomeReader"]
