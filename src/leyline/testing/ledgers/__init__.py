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
subject in ``booking``, ``confirming``, ``settling``, ``closing``, ``crowding`` and ``sharing``.
They run in real time for a few seconds, and what they assert holds on the slowest machine. Override
the fixtures ``clock`` and ``anyio_backend`` to run them in a time of your own.

What is done with a ledger, and what follows for its author:

- A start booked for now is made. One booked for later is waited for, and ``confirm`` is asked
  meanwhile, at least every ``leyline.quota.LEASE`` / 3 seconds, until shortly before its moment.
  What nobody asked for as long as ``LEASE`` may be given up: whoever booked it was killed.
- At its moment it is made unasked, up to ``leyline.quota.slack(limit.per)`` seconds late; of
  several limits, the least of these. So a start counts that much longer than its window, and none
  lies that close to the end of a calendar day. ``Limit.guard`` comes on top of both.
- Who is later than that asks ``confirm``, which lets it start where that takes nothing from those
  booked for later, and else books it anew behind them, and says so by a delay.
- ``waiting`` is what is booked for later. It becomes ``used`` at its moment, though nobody says so;
  what is booked for later on the calendar day of a limit is ``used`` at once. ``Booked.share`` is
  of both together, and more than 1 where starts wait for a full limit.
- After a run comes ``settle``. Where nothing was started comes ``refund``, also before the moment.
  After ``book`` with ``dry_run`` the run is started at once, whatever the delay.

What a ledger is built from and annotated with: ``Ledger``, ``Booked``, ``Refused``,
``AccountStatus`` and ``LimitStatus`` in ``leyline.quota``; ``Limit``, ``Measure``, ``DailyReset``
and ``Weight`` in ``leyline.limits``; ``LedgerError`` and ``Clock`` in ``leyline``. What passes can
be given to a registry: ``ServiceRegistry(state=MyLedger(...))``.
"""

import pytest

_SUBJECTS = (
    "samples",
    "fixtures",
    "booking",
    "confirming",
    "settling",
    "closing",
    "crowding",
    "sharing",
)
pytest.register_assert_rewrite(*(f"{__name__}.{subject}" for subject in _SUBJECTS))

from leyline.testing.ledgers.conformance import (  # noqa: E402  (once pytest explains its asserts)
    LedgerConformance,
    UnsharedLedgerConformance,
)
from leyline.testing.ledgers.fixtures import OpenLedger  # noqa: E402
from leyline.testing.ledgers.samples import fullest  # noqa: E402

__all__ = ["LedgerConformance", "OpenLedger", "UnsharedLedgerConformance", "fullest"]
