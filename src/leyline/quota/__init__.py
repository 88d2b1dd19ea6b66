"""May this call start, and when? Knows nothing of what a call is."""

from leyline.quota.account import AccountStatus, Booked, LimitStatus, Refused
from leyline.quota.ledger import Ledger
from leyline.quota.limits import DailyReset, Limit, Measure, Weight, named_limit
from leyline.quota.memory import MemoryLedger

__all__ = [
    "AccountStatus",
    "Booked",
    "DailyReset",
    "Ledger",
    "Limit",
    "LimitStatus",
    "Measure",
    "MemoryLedger",
    "Refused",
    "Weight",
    "named_limit",
]
