"""May this call start, and when? Knows nothing of what a call is."""

from leyline.quota.account import AccountStatus, Booked, LimitStatus, Refused
from leyline.quota.admission import Admission
from leyline.quota.expectation import Expectation
from leyline.quota.ledger import Ledger
from leyline.quota.level import QuotaLevel, QuotaStatus, quota_status
from leyline.quota.memory import MemoryLedger
from leyline.quota.queue import Priority
from leyline.quota.slots import Slot, Slots
from leyline.quota.store import Store

__all__ = [
    "AccountStatus",
    "Admission",
    "Booked",
    "Expectation",
    "Ledger",
    "LimitStatus",
    "MemoryLedger",
    "Priority",
    "QuotaLevel",
    "QuotaStatus",
    "Refused",
    "Slot",
    "Slots",
    "Store",
    "quota_status",
]
