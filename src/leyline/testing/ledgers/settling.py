"""Balances: what was really used, what is given back, and what a look shows."""

import pytest

from leyline.clock import Clock
from leyline.limits import Limit, Measure, Weight
from leyline.quota import Ledger
from leyline.testing.ledgers.fixtures import LedgerFixtures
from leyline.testing.ledgers.samples import MINUTE, ONE, TOKENS, book, new_id, taken


class SettlingDemands(LedgerFixtures):
    """``settle``, ``refund``, ``status`` and ``aclose``."""

    @pytest.mark.parametrize("real", [0, 1, 99_999, 100_001, 1_500_000])
    async def test_what_was_used_replaces_what_was_reserved(
        self, ledger: Ledger, account: str, real: int
    ) -> None:
        """Less, more, and even more than the limit: it happened."""
        booking = await book(ledger, account, MINUTE, TOKENS, weight=Weight(input_tokens=100_000))
        weight = Weight(requests=3, output_tokens=real)
        assert await ledger.settle(account, booking, [MINUTE, TOKENS], weight) is True
        assert await taken(ledger, account, MINUTE, TOKENS) == (3, real)

    async def test_settling_twice_counts_once(
        self, ledger: Ledger, account: str, day: Limit
    ) -> None:
        """The second time is told by ``False``."""
        limits, weight = [MINUTE, day], Weight(requests=2)
        booking = await book(ledger, account, *limits)
        settled = [await ledger.settle(account, booking, limits, weight) for _ in range(3)]
        assert settled == [True, False, False]
        assert await taken(ledger, account, *limits) == (2, 2)

    async def test_what_was_never_booked_cannot_be_settled_or_refunded(
        self, ledger: Ledger, account: str
    ) -> None:
        """And takes no room."""
        assert await ledger.settle(account, new_id(), [MINUTE], ONE) is False
        assert await ledger.refund(account, new_id()) is False
        assert await taken(ledger, account, MINUTE) == (0,)

    async def test_a_refund_makes_room_at_once_and_only_once(
        self, ledger: Ledger, account: str, day: Limit
    ) -> None:
        """Under every limit that the booking took."""
        bookings = [await book(ledger, account, MINUTE, day) for _ in range(20)]
        refunded = [await ledger.refund(account, bookings[7]) for _ in range(2)]
        assert refunded == [True, False]
        assert await taken(ledger, account, MINUTE, day) == (19, 19)
        await book(ledger, account, MINUTE, day)

    async def test_what_was_settled_cannot_be_refunded(self, ledger: Ledger, account: str) -> None:
        """What was used stays used."""
        booking = await book(ledger, account, MINUTE)
        await ledger.settle(account, booking, [MINUTE], ONE)
        assert await ledger.refund(account, booking) is False
        assert await taken(ledger, account, MINUTE) == (1,)

    async def test_each_booking_is_settled_by_its_own_id(
        self, ledger: Ledger, account: str
    ) -> None:
        """In whatever order."""
        first, second = [
            await book(ledger, account, TOKENS, weight=Weight(input_tokens=tokens))
            for tokens in (1_000, 20_000)
        ]
        await ledger.settle(account, second, [TOKENS], Weight(input_tokens=300_000))
        assert await taken(ledger, account, TOKENS) == (301_000,)
        await ledger.refund(account, first)
        assert await taken(ledger, account, TOKENS) == (300_000,)

    # Looking

    async def test_an_unused_quota_shows_nothing_used(
        self, ledger: Ledger, account: str, day: Limit
    ) -> None:
        """In the order asked for, also for an account that nobody knows yet."""
        status = await ledger.status(account, [MINUTE, day])
        assert [(s.name, s.used, s.amount, s.frees_in) for s in status.limits] == [
            ("rpm", 0, 20, None),
            ("rpd", 0, 20, None),
        ]
        assert (status.closed_for, status.reason) == (0.0, "")

    async def test_status_says_when_room_is_freed(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """``LimitStatus.frees_in``: the first of it, in seconds."""
        began = clock.monotonic()
        await book(ledger, account, MINUTE)
        (limit,) = (await ledger.status(account, [MINUTE])).limits
        assert limit.frees_in is not None
        assert 60.0 - (clock.monotonic() - began) <= limit.frees_in <= 61.0

    async def test_accounts_do_not_touch_each_other(
        self, ledger: Ledger, account: str, clock: Clock
    ) -> None:
        """Neither their limits, nor their closures, nor their bookings."""
        other = f"{account}-2"
        booking = await book(ledger, account, MINUTE, weight=Weight(requests=20))
        await ledger.throttle(account, clock.wall() + 60.0, "busy")
        await book(ledger, other, MINUTE)
        assert await ledger.settle(other, booking, [MINUTE], ONE) is False
        assert await ledger.refund(other, booking) is False
        assert await taken(ledger, account, MINUTE) == (20,)
        assert await taken(ledger, other, MINUTE) == (1,)

    @pytest.mark.parametrize(
        "text",
        ["", "q\"uo'te", "back\\slash", "nul\0byte", "line\nbreak", "{brace}:*", "日本 🐍", "null"],
        ids=["plain", "quotes", "backslash", "nul", "newline", "braces", "beyond_ascii", "null"],
    )
    async def test_any_text_may_be_a_name(
        self, ledger: Ledger, account: str, clock: Clock, text: str
    ) -> None:
        """Of an account, a booking, a limit; or the service's own words."""
        name, booking = account + text, new_id() + text
        limit = Limit(name=f"limit{text}", measure=Measure.REQUESTS, amount=20, per=60.0)
        booked = await ledger.book(name, booking, [limit], ONE, max_delay=0.0)
        assert booked.delay == 0.0
        await ledger.throttle(name, clock.wall() + 60.0, f"busy{text}")
        status = await ledger.status(name, [limit])
        assert (status.limits[0].name, status.limits[0].used) == (limit.name, 1)
        assert status.reason == f"busy{text}"
        assert await ledger.settle(name, booking, [limit], Weight(requests=2)) is True
        assert await taken(ledger, name, limit) == (2,)
        if text:
            assert await taken(ledger, account, limit) == (0,)
