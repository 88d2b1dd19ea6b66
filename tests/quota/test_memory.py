"""The ledger in memory keeps every promise but those of a store that is shared."""

import pytest

from leyline.quota import MemoryLedger
from leyline.testing.ledgers import OpenLedger, UnsharedLedgerConformance


class TestMemoryLedger(UnsharedLedgerConformance):
    @pytest.fixture
    def open_ledger(self) -> OpenLedger:
        return MemoryLedger
