"""A ledger that keeps every promise, to break one of them; and the public suite on its kinds."""

from collections import defaultdict
from collections.abc import Callable
from typing import ClassVar

import pytest

from leyline.clock import Clock
from leyline.errors import LedgerError
from leyline.quota import MemoryLedger
from leyline.quota.account import Account
from leyline.quota.windows import SlidingLog
from leyline.testing.ledgers import LedgerConformance, OpenLedger
from tests.virtual import VIRTUAL_BACKEND, VIRTUAL_CLOCK

Accounts = defaultdict[str, Account]


class Sound(MemoryLedger):
    """Keeps every promise.

    caught_by: Tests that have to fail. until: When a bucket of a log stops counting.
    store: What all ledgers of a test share.
    """

    caught_by: ClassVar[tuple[str, ...]] = ()
    until: ClassVar[Callable[[SlidingLog, int], float] | None] = None
    store: ClassVar[type[Accounts]] = Accounts

    def __init__(self, clock: Clock, accounts: Accounts) -> None:
        self._clock = clock
        self._shared = accounts
        self._closed = False

    @property
    def _accounts(self) -> Accounts:
        if self._closed:
            raise LedgerError("memory", "it was closed")
        return self._shared

    async def aclose(self) -> None:
        self._closed = True


def conformance_of(kind: type[Sound]) -> type[LedgerConformance]:
    """The public suite, on ledgers of that kind, in virtual time."""

    class Tests(LedgerConformance):
        @pytest.fixture
        def anyio_backend(self) -> tuple[str, dict[str, object]]:
            return VIRTUAL_BACKEND

        @pytest.fixture
        def clock(self) -> Clock:
            return VIRTUAL_CLOCK

        @pytest.fixture
        def open_ledger(self, monkeypatch: pytest.MonkeyPatch) -> OpenLedger:
            if kind.until is not None:
                monkeypatch.setattr(SlidingLog, "_until", kind.until)
            store = kind.store(Account)
            return lambda clock: kind(clock, store)

    return Tests
