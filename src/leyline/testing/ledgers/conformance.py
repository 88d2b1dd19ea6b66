"""All demands together, for a ledger that shares its store and for one that does not."""

from leyline.testing.ledgers.booking import BookingDemands
from leyline.testing.ledgers.closing import ClosingDemands
from leyline.testing.ledgers.confirming import ConfirmingDemands
from leyline.testing.ledgers.crowding import CrowdingDemands
from leyline.testing.ledgers.settling import SettlingDemands
from leyline.testing.ledgers.sharing import SharingDemands


class UnsharedLedgerConformance(
    BookingDemands, ConfirmingDemands, SettlingDemands, ClosingDemands, CrowdingDemands
):
    """What every ledger promises, also one that is alone with its store.

    Inherit from it in a class called ``Test...`` and give that the fixture ``open_ledger``.
    """


class LedgerConformance(UnsharedLedgerConformance, SharingDemands):
    """What a ledger promises whose store is shared and outlives it; use it in the same way."""
