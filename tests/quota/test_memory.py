"""The ledger in memory keeps every promise but those of a store that is shared."""

import pytest

from leyline.clock import SYSTEM_CLOCK
from leyline.quota import MemoryLedger
from tests.quota.conformance import LedgerConformance, OpenLedger


class TestMemoryLedger(LedgerConformance):
    shares = False
    closes = False

    @pytest.fixture
    def open_ledger(self) -> OpenLedger:
        return lambda: MemoryLedger(SYSTEM_CLOCK)
