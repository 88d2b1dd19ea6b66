"""May this call start, and when? Knows nothing of what a call is."""

from leyline.quota.account import AccountStatus, Booked, LimitStatus, Refused
from leyline.quota.ledger import Ledger
from leyline.quota.memory import MemoryLedger

__all__ = ["AccountStatus", "Booked", "Ledger", "LimitStatus", "MemoryLedger", "Refused"]
