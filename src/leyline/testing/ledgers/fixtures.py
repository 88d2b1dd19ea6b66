"""What every demand is given: a ledger, an account of its own, a clock."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.limits import DailyReset, Limit, Measure
from leyline.quota import Ledger
from leyline.testing.ledgers.samples import new_id

OpenLedger = Callable[[Clock], Ledger]
"""Opens one more ledger, on a clock, on one and the same store."""


class LedgerFixtures:
    """Give ``open_ledger``; the others may be overridden too."""

    pytestmark: ClassVar[pytest.MarkDecorator] = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str | tuple[str, dict[str, object]]:
        """asyncio alone: leyline's quotas run on nothing else."""
        return "asyncio"

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock of the ledgers, by which the tests wait and measure too."""
        return SYSTEM_CLOCK

    @pytest.fixture
    def open_ledger(self) -> OpenLedger:
        """What opens a ledger of the kind that is tested."""
        raise NotImplementedError(
            "define a fixture open_ledger that returns a function from a clock to a new ledger"
        )

    @pytest.fixture
    async def ledger(self, open_ledger: OpenLedger, clock: Clock) -> AsyncGenerator[Ledger, None]:
        """A ledger, closed after the test."""
        ledger = open_ledger(clock)
        yield ledger
        await ledger.aclose()

    @pytest.fixture
    def account(self) -> str:
        """An account that nobody else uses."""
        return f"conformance-{new_id()}"

    @pytest.fixture
    async def day(self, clock: Clock) -> Limit:
        """A limit of a calendar day that does not end while the tests run."""
        hour = datetime.fromtimestamp(clock.wall(), UTC).hour
        reset = DailyReset(hour=(hour + 12) % 24)
        return Limit(name="rpd", measure=Measure.REQUESTS, amount=20, per=86_400.0, reset=reset)
