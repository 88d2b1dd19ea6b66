"""May this call start, and when? Knows nothing of what a call is."""

from leyline.quota.admission import Admission
from leyline.quota.answers import AccountStatus, Booked, LimitStatus, Refused
from leyline.quota.booking import LEASE
from leyline.quota.expectation import Expectation
from leyline.quota.ledger import Ledger
from leyline.quota.level import QuotaStatus, quota_status
from leyline.quota.memory import MemoryLedger
from leyline.quota.queue import Queue
from leyline.quota.slots import Slot, Slots
from leyline.quota.store import Store
from leyline.quota.windows import slack

__all__ = [
    "LEASE",
    "AccountStatus",
    "Admission",
    "Booked",
    "Expectation",
    "Ledger",
    "LimitStatus",
    "MemoryLedger",
    "Queue",
    "QuotaStatus",
    "Refused",
    "Slot",
    "Slots",
    "Store",
    "quota_status",
    "slack",
]
