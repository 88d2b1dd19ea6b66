"""What every ledger promises, as tests: run them on your own.

Write one file of tests; it needs pytest and nothing else, as anyio brings its own plugin::

    import pytest
    from leyline.testing.ledgers import LedgerConformance, OpenLedger
    from my_package import MyLedger

    class TestMyLedger(LedgerConformance):
        @pytest.fixture
        def open_ledger(self, tmp_path) -> OpenLedger:
            return lambda clock: MyLedger(tmp_path / "store", clock)

Each call of what the fixture returns opens another ledger, all of them on one store. That may be
fresh or shared with other tests: every test has an account of its own. A ledger whose store has a
time of its own leaves *clock* unused. One that is alone with its store, as one in memory is,
inherits from ``UnsharedLedgerConformance`` instead.

The name of a test is what it demands, and its docstring says what that means; they stand by
subject in ``booking``, ``settling``, ``closing``, ``crowding`` and ``sharing``. They run in real
time for a few seconds, and what they assert holds on the slowest machine. Override the fixtures
``clock`` and ``anyio_backend`` to run them in a time of your own.

What a ledger is built from and annotated with: ``Ledger``, ``Booked``, ``Refused``,
``AccountStatus`` and ``LimitStatus`` in ``leyline.quota``; ``Limit``, ``Measure``, ``DailyReset``
and ``Weight`` in ``leyline.limits``; ``LedgerError`` and ``Clock`` in ``leyline``. What passes can
be given to a registry: ``ServiceRegistry(state=MyLedger(...))``.
"""

import pytest

_SUBJECTS = ("samples", "fixtures", "booking", "settling", "closing", "crowding", "sharing")
pytest.register_assert_rewrite(*(f"{__name__}.{subject}" for subject in _SUBJECTS))

from leyline.testing.ledgers.conformance import (  # noqa: E402  (once pytest explains its asserts)
    LedgerConformance,
    UnsharedLedgerConformance,
)
from leyline.testing.ledgers.fixtures import OpenLedger  # noqa: E402
from leyline.testing.ledgers.samples import fullest  # noqa: E402

__all__ = ["LedgerConformance", "OpenLedger", "UnsharedLedgerConformance", "fullest"]
