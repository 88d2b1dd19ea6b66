"""What was spent? Records, where they are kept, and their sums. Knows nothing of routing.

``leyline.usage.book`` reads them; it is loaded only where somebody asks.
"""

from leyline.usage.log import UsageLog
from leyline.usage.prices import estimate, price, price_per_million
from leyline.usage.record import (
    Prompt,
    UsageRecord,
    record_of_refusal,
    record_of_result,
)
from leyline.usage.sink import MemorySink, Sink
from leyline.usage.store import default_path, open_sink, usage_log

__all__ = [
    "MemorySink",
    "Prompt",
    "Sink",
    "UsageLog",
    "UsageRecord",
    "default_path",
    "estimate",
    "open_sink",
    "price",
    "price_per_million",
    "record_of_refusal",
    "record_of_result",
    "usage_log",
]
