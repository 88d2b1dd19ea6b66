"""One quota, decided: never over a limit, first come first served, all or nothing, exact."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from random import Random
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from leyline.limits import DailyReset, Limit, Measure, Weight, named_limit
from leyline.quota.account import Account, Booked, Refused
from tests.quota.shadow import EPOCH, EPS, Shadow

ONE = Weight()
RPM = named_limit("rpm", 60)
PACIFIC = "America/Los_Angeles"
RPD = named_limit("rpd", 4, reset=DailyReset(zone=PACIFIC))
TPM = named_limit("tpm", 1000)


def tokens(amount: int) -> Weight:
    return Weight(input_tokens=amount)


def book(
    account: Account,
    booking: str,
    limits: Sequence[Limit],
    weight: Weight = ONE,
    *,
    now: float = 0.0,
    wall: float | None = None,
    max_delay: float = math.inf,
) -> Booked | Refused:
    wall = EPOCH + now if wall is None else wall
    return account.book(booking, limits, weight, now=now, wall=wall, max_delay=max_delay)


def used(account: Account, limits: Sequence[Limit], *, now: float, wall: float = 0.0) -> list[int]:
    status = account.status(limits, now=now, wall=wall or EPOCH + now)
    return [limit.used for limit in status.limits]


def delay_of(outcome: Booked | Refused) -> float:
    assert isinstance(outcome, Booked)
    return outcome.delay


# ---------------------------------------------------------------- windows


def test_a_saturated_day_never_holds_more_than_its_limit_and_uses_it():
    account, now, starts = Account(), 0.0, list[float]()
    began = process_time()
    while True:
        outcome = book(account, "b", [RPM], now=now)
        now += delay_of(outcome)
        if now >= 86_400:
            break
        starts.append(now)
        account.settle("b", [RPM], ONE)
    assert all(later - sooner >= 60 for sooner, later in zip(starts, starts[60:], strict=False))
    assert len(starts) >= 0.985 * 86_400
    assert process_time() - began < 30  # about one; a ruined order of growth takes minutes


@pytest.mark.parametrize("weight", [1, 10, 999, 999_999, 1_000_000])
def test_tokens_are_counted_exactly(weight: int):
    account, limit = Account(), named_limit("tpm", 1_000_000)
    assert book(account, "b", [limit], tokens(weight)) == Booked(delay=0.0)
    assert used(account, [limit], now=0) == [weight]
    rest = 1_000_000 - weight
    assert book(account, "rest", [limit], tokens(rest)) == Booked(delay=0.0)
    refused = book(account, "more", [limit], tokens(1), max_delay=59)
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.used, refused.amount) == ("tpm", 1_000_000, 1_000_000)
    assert 60 <= refused.delay < 61


def test_half_the_limit_is_served_within_a_window_among_endless_small_ones():
    random, account, now = Random(3), Account(), 0.0
    waiting: list[tuple[float, str]] = []
    delays: list[float] = []
    for step in range(5000):  # eight who always have one booked ahead
        if step % 50 == 0:
            delays.append(delay_of(book(account, "big", [TPM], tokens(500), now=now)))
            account.refund("big")
        small = tokens(random.randint(1, 20))
        delay = delay_of(book(account, f"s{step}", [TPM], small, now=now))
        waiting.append((now + delay, f"s{step}"))
        if len(waiting) == 8:
            now, booking = min(waiting)
            waiting.remove((now, booking))
            account.settle(booking, [TPM], small)
            now += random.expovariate(2)
    assert now > 20 * 60
    assert 20 < max(delays) <= 60.05 * (1 + 1 / 128)


def test_a_late_start_counts_where_it_was_booked_and_a_later_one_is_booked_again():
    limit = named_limit("rpm", 1)
    account = Account()
    assert delay_of(book(account, "a", [limit])) == 0
    assert account.confirm("a", [limit], ONE, now=0.05, wall=EPOCH) == Booked(delay=0.0)
    b = delay_of(book(account, "b", [limit], now=0.05)) + 0.05
    assert b >= 60.05  # even from the latest start of the one before
    assert account.confirm("b", [limit], ONE, now=b - 3, wall=EPOCH).delay == pytest.approx(3)
    assert account.confirm("b", [limit], ONE, now=b + 7, wall=EPOCH) == Booked(delay=0.0)
    assert used(account, [limit], now=b + 7) == [1]
    assert delay_of(book(account, "c", [limit], now=b + 7)) >= 60


def test_a_window_lies_between_the_latest_start_and_the_next_one_wherever_they_fall():
    limit, width = named_limit("rpm", 1), 60.05 / 128
    for k in range(3, 2000, 7):  # the last moment of a bucket is the hardest
        account, now = Account(), math.nextafter(k * width, 0)
        book(account, "a", [limit], now=now)
        late = now + 0.0499
        assert account.confirm("a", [limit], ONE, now=late, wall=EPOCH) == Booked(delay=0.0)
        assert late + delay_of(book(account, "b", [limit], now=late)) >= late + 60


def test_a_late_start_keeps_its_place_where_those_behind_it_lose_nothing():
    limit, account = named_limit("rpm", 2), Account()
    book(account, "a", [limit])
    book(account, "b", [limit], now=30)
    c, d = (30 + delay_of(book(account, booking, [limit], now=30)) for booking in "cd")
    late = c + 10
    assert account.confirm("c", [limit], ONE, now=late, wall=EPOCH + late) == Booked(delay=0.0)
    assert account.confirm("d", [limit], ONE, now=d, wall=EPOCH + d) == Booked(delay=0.0)
    assert delay_of(book(account, "e", [limit], now=d)) + d >= late + 60


@pytest.mark.parametrize("late", [1.5, 50.0])
def test_a_late_start_after_a_closure_keeps_its_distance(late: float):
    account = Account()
    book(account, "a", [RPM])
    account.close(EPOCH - 1, "retry", now=0, wall=EPOCH)
    book(account, "b", [RPM])
    book(account, "c", [RPM], now=late)
    wait = account.confirm("b", [RPM], ONE, now=late, wall=EPOCH + late).delay
    assert wait >= 1


def test_a_late_start_waits_for_a_day_that_has_room():
    account, night = Account(), unix(6, 16) - 1800
    book(account, "a", [RPD], wall=night)
    for k in range(4):
        book(account, f"b{k}", [RPD], now=1800, wall=night + 1800)
    assert account.confirm("a", [RPD], ONE, now=1801, wall=night + 1801).delay > 86_000


def test_what_another_booked_meanwhile_puts_a_late_start_off():
    limit = named_limit("rpm", 1)
    account = Account()
    book(account, "a", [limit])
    b = delay_of(book(account, "b", [limit]))
    c = delay_of(book(account, "c", [limit]))
    late = b + 1
    wait = account.confirm("b", [limit], ONE, now=late, wall=EPOCH).delay
    assert late + wait >= c + 60
    assert account.confirm("c", [limit], ONE, now=c, wall=EPOCH) == Booked(delay=0.0)


def test_a_start_moves_to_an_earlier_moment_that_has_become_free_and_keeps_its_place():
    limit, account = named_limit("rpm", 2), Account()
    book(account, "a", [limit])
    book(account, "b", [limit], now=30)
    c = 30 + delay_of(book(account, "c", [limit], now=30))
    d = 30 + delay_of(book(account, "d", [limit], now=30))
    assert (c, d) == (pytest.approx(60, abs=1), pytest.approx(90, abs=1))
    held, log = account.bookings["d"], account.tally.dump()
    assert account.confirm("d", [limit], ONE, now=31, wall=EPOCH).delay == pytest.approx(d - 31)
    assert (held.at, account.tally.dump()) == (d, log)  # nothing was free: it stays where it is
    account.refund("a")
    account.refund("b")
    assert account.confirm("d", [limit], ONE, now=40, wall=EPOCH).delay == pytest.approx(c - 40)
    assert account.confirm("c", [limit], ONE, now=40, wall=EPOCH) == Booked(delay=0.0)
    assert account.confirm("d", [limit], ONE, now=40, wall=EPOCH) == Booked(delay=0.0)


def test_a_start_that_nothing_is_known_of_is_booked_anew():
    account = Account()
    assert account.confirm("gone", [RPM], ONE, now=5, wall=EPOCH) == Booked(delay=0.0)
    assert used(account, [RPM], now=5) == [1]


# ---------------------------------------------------------------- refusals


def test_what_never_fits_is_refused_with_the_name_of_the_limit():
    account = Account()
    refused = book(account, "b", [RPM, TPM, RPD], tokens(1001))
    assert refused == Refused(delay=math.inf, limit="tpm", used=0, amount=1000)
    assert isinstance(book(account, "b", [TPM, RPD], Weight(requests=5)), Refused)
    assert used(account, [RPM, TPM, RPD], now=0) == [0, 0, 0]


def test_a_refusal_names_the_limit_that_others_wait_for():
    account, limit = Account(), named_limit("rpm", 2)
    for booking in "abc":  # the third waits, and leaves room for a fourth beside it
        book(account, booking, [TPM, limit])
    refused = book(account, "d", [TPM, limit], max_delay=1)
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.used, refused.amount, refused.waiting) == ("rpm", 2, 2, 1)
    assert 60 <= refused.delay < 61


def test_a_refusal_quotes_the_service_that_is_closed():
    account = Account()
    account.close(EPOCH + 30, "quota exhausted", now=0, wall=EPOCH)
    refused = book(account, "b", [RPM], max_delay=1)
    assert refused == Refused(delay=30.0, limit="closed", reason="quota exhausted")


def test_all_limits_are_booked_together_or_none():
    account = Account()
    five_hours = Limit(name="w", measure=Measure.REQUESTS, amount=2, per=18_000)
    limits = [RPM, TPM, five_hours, RPD]
    book(account, "a", limits, tokens(10))
    book(account, "b", limits, tokens(10))
    before = used(account, limits, now=0)
    refused = book(account, "c", limits, tokens(10), max_delay=3600)
    assert isinstance(refused, Refused)
    assert refused.limit == "w"
    assert used(account, limits, now=0) == before == [2, 20, 2, 2]


# ---------------------------------------------------------------- settling


def test_settling_twice_counts_once():
    account = Account()
    book(account, "b", [TPM], tokens(100))
    assert account.settle("b", [TPM], tokens(40))
    assert not account.settle("b", [TPM], tokens(40))
    assert not account.refund("b")
    assert used(account, [TPM], now=0) == [40]


def test_an_overdraft_delays_later_starts():
    account = Account()
    book(account, "a", [TPM], tokens(100))
    account.settle("a", [TPM], tokens(2500))
    assert used(account, [TPM], now=0) == [2500]
    assert 60 <= delay_of(book(account, "b", [TPM], tokens(1), now=0)) < 61


def test_several_requests_are_charged_as_reported():
    account = Account()
    book(account, "a", [RPM, TPM])
    account.settle("a", [RPM, TPM], Weight(requests=7, input_tokens=3, output_tokens=4))
    assert used(account, [RPM, TPM], now=0) == [7, 7]


def test_a_refund_frees_what_was_taken_where_it_was_taken():
    account = Account()
    book(account, "a", [TPM], tokens(600))
    book(account, "b", [TPM], tokens(400), now=30)
    assert delay_of(book(account, "c", [TPM], tokens(500), now=30)) > 29
    account.refund("c")
    account.refund("a")
    assert used(account, [TPM], now=30) == [400]
    assert book(account, "d", [TPM], tokens(600), now=30) == Booked(delay=0.0)
    assert delay_of(book(account, "e", [TPM], tokens(1), now=30)) >= 60  # not those of a


def test_a_cancelled_queue_leaves_nothing_and_holds_up_nobody():
    account, limit = Account(), named_limit("rpm", 2)
    book(account, "first", [limit])
    for k in range(20):
        book(account, f"b{k}", [limit])
    for k in range(20):
        account.refund(f"b{k}")
    assert used(account, [limit], now=0) == [1]
    assert book(account, "next", [limit]) == Booked(delay=0.0)


def test_a_booking_follows_the_clock_of_the_store():
    account = Account()
    book(account, "a", [TPM], tokens(600), now=5000)
    book(account, "b", [TPM], tokens(300), now=5000)
    account.shift(-4990.0)  # restarted: it is second ten now
    account.settle("b", [TPM], tokens(100))
    account.refund("a")
    assert used(account, [TPM], now=10) == [100]
    assert delay_of(book(account, "c", [TPM], tokens(1000), now=10)) == pytest.approx(60.5, abs=1)


@pytest.mark.parametrize("guard", [0.5, 2.0, 60.0])
def test_a_booking_follows_a_limit_that_was_changed(guard: float):
    account, wider = Account(), evolve(TPM, guard=guard)
    book(account, "a", [TPM], tokens(600), now=5000)
    book(account, "b", [wider], tokens(1), now=5000)
    account.settle("a", [wider], tokens(700))
    assert used(account, [wider], now=5000) == [701]
    account.refund("b")
    account.shift(100.0)
    assert 59 < delay_of(book(account, "c", [wider], tokens(301), now=5100)) - guard < 62


def test_a_booking_that_nobody_settles_is_given_up_in_the_end():
    account = Account()
    book(account, "lost", [RPM])
    book(account, "b", [RPM], now=3 * 86_400)
    assert list(account.bookings) == ["b"]


HOURS = Limit(name="window", measure=Measure.REQUESTS, amount=2, per=18_000)


def test_who_was_killed_while_it_waited_holds_up_nobody_for_long():
    account = Account()
    book(account, "a", [HOURS], Weight(requests=1))
    assert delay_of(book(account, "killed", [HOURS], Weight(requests=2), now=1)) > 17_000
    assert delay_of(book(account, "b", [HOURS], now=80)) > 17_000  # it may be alive
    account.refund("b")
    assert book(account, "c", [HOURS], now=92) == Booked(delay=0.0)
    assert list(account.bookings) == ["a", "c"]
    assert used(account, [HOURS], now=92) == [2]


def test_who_waits_and_asks_now_and_then_keeps_its_place():
    account = Account()
    book(account, "a", [HOURS], Weight(requests=1))
    waits = 1 + delay_of(book(account, "waits", [HOURS], Weight(requests=2), now=1))
    for now in range(30, 3000, 30):
        assert account.confirm("waits", [HOURS], Weight(requests=2), now=now, wall=EPOCH).delay > 0
        assert now + delay_of(book(account, "b", [HOURS], now=now)) > waits
        account.refund("b")


def test_who_was_given_up_wrongly_is_booked_anew():
    account, heavy = Account(), Weight(requests=2)
    book(account, "a", [HOURS], Weight(requests=1))
    book(account, "slept", [HOURS], heavy, now=1)
    book(account, "b", [HOURS], now=200)
    wait = account.confirm("slept", [HOURS], heavy, now=300, wall=EPOCH).delay
    assert 300 + wait >= 200 + HOURS.per


def test_a_dry_run_counts_from_now_on_and_says_how_long_it_would_have_waited():
    account = Account()
    delays = [
        delay_of(
            account.book(f"b{k}", [HOURS], ONE, now=k, wall=EPOCH + k, max_delay=0.0, dry_run=True)
        )
        for k in range(4)
    ]
    assert delays[:2] == [0, 0]
    assert all(18_000 - 5 < delay < 18_200 for delay in delays[2:])
    assert used(account, [HOURS], now=3) == [4]
    never = account.book("n", [TPM], tokens(9999), now=3, wall=EPOCH, max_delay=0.0, dry_run=True)
    assert never == Booked(delay=math.inf)
    assert delay_of(book(account, "real", [HOURS], now=4)) < 18_200


# ---------------------------------------------------------------- closing


def test_a_later_end_extends_a_closure_and_an_earlier_one_never_shortens_it():
    account = Account()
    for until, expected, reason in ((30, 30, "a"), (10, 30, "a"), (50, 50, "c")):
        words = {30: "a", 10: "b", 50: "c"}[until]
        account.close(EPOCH + until, words, now=0, wall=EPOCH)
        status = account.status([RPM], now=0, wall=EPOCH)
        assert (status.closed_for, status.reason) == (expected, reason)
    assert account.status([RPM], now=0, wall=EPOCH + 50).closed_for == 0
    assert Account.load(account.dump()) == account


def starts_after_closing(
    account: Account, limits: Sequence[Limit], *, until: float, moments: list[float], cancels: bool
) -> list[float]:
    """When eight start, who each book one at a time, until a minute after *until*."""
    at: list[float] = []
    sleeping = {f"p{k}": moment for k, moment in enumerate(moments)}
    while (now := min(sleeping.values())) < until + 59:
        booking = min(sleeping, key=lambda b: (sleeping[b], b))
        delay = account.confirm(booking, limits, ONE, now=now, wall=EPOCH + now).delay
        if delay == 0:
            at.append(now)
            account.settle(booking, limits, ONE)
            if cancels:
                book(account, "cancelled", limits, now=now)
                account.refund("cancelled")
            delay = delay_of(book(account, booking, limits, now=now))
        sleeping[booking] = now + delay
    return at


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("limits", [[RPM], [TPM], []], ids=["rpm", "tpm", "no limit"])
def test_after_a_closure_nothing_starts_and_then_not_all_at_once(
    limits: list[Limit], cancels: bool
):
    account = Account()
    account.close(EPOCH + 30, "retry in 30 s", now=0, wall=EPOCH)
    starts = starts_after_closing(
        account, limits, until=30, moments=[0.1 * k for k in range(8)], cancels=cancels
    )
    assert 30 - EPS <= starts[0] < 31
    assert len([start for start in starts if start < 30.1]) == 1
    assert all(later - sooner > 0.99 for sooner, later in pairwise(starts))
    assert len(starts) >= 55  # and not slower than it may


@pytest.mark.parametrize("closed", [-20.0, 0.0, 3.0, 30.0, 58.0])
def test_what_was_booked_before_a_closure_keeps_its_distance_too(closed: float):
    account = Account()
    for k in range(60):
        book(account, f"used{k}", [RPM])
        account.settle(f"used{k}", [RPM], ONE)
    moments = [delay_of(book(account, f"p{k}", [RPM])) for k in range(8)]
    assert len(set(moments)) == 1  # when the window is free again, all at once
    account.close(EPOCH + closed, "retry", now=1.0, wall=EPOCH + 1.0)
    starts = starts_after_closing(account, [RPM], until=61.0, moments=moments, cancels=False)
    assert len([start for start in starts if start < moments[0] + 0.1]) == 1


def test_a_reset_in_the_past_leads_to_one_probe_at_a_time():
    account = Account()
    account.close(EPOCH - 100, "resets at noon", now=0, wall=EPOCH)
    delays = [delay_of(book(account, f"b{k}", [RPM])) for k in range(8)]
    assert delays == pytest.approx(range(8), abs=1e-6)


def test_a_cancelled_start_does_not_bring_the_next_probe_forward():
    account = Account()
    account.close(EPOCH - 1, "retry", now=0, wall=EPOCH)
    for booking in "ab":
        book(account, booking, [RPM])
    account.settle("a", [RPM], ONE)
    account.refund("b")
    assert delay_of(book(account, "c", [RPM])) == 1


def test_a_start_that_was_booked_is_put_off_when_the_service_closes():
    account, limit = Account(), named_limit("rpm", 1)
    book(account, "a", [limit])
    moment = delay_of(book(account, "b", [limit]))
    account.close(EPOCH + 500, "closed", now=10, wall=EPOCH + 10)
    wait = account.confirm("b", [limit], ONE, now=moment, wall=EPOCH + moment).delay
    assert moment + wait == pytest.approx(500)
    assert account.confirm("b", [limit], ONE, now=500, wall=EPOCH + 500) == Booked(delay=0.0)


def test_a_wall_clock_a_little_behind_costs_nobody_the_place():
    account = Account()
    account.close(EPOCH + 30, "closed", now=0, wall=EPOCH)
    for booking in "abc":
        book(account, booking, [RPM])
    wait = account.confirm("a", [RPM], ONE, now=30.0, wall=EPOCH + 29.98).delay
    assert wait == pytest.approx(0.02)
    assert account.confirm("a", [RPM], ONE, now=30.02, wall=EPOCH + 30.0) == Booked(delay=0.0)


# ---------------------------------------------------------------- calendar days


def unix(month: int, day: int, hour: int = 0) -> float:
    return datetime(2026, month, day, hour, tzinfo=ZoneInfo(PACIFIC)).timestamp()


@pytest.mark.parametrize("hour", [0, 7])
@pytest.mark.parametrize(("month", "day"), [(3, 8), (11, 1), (6, 15)])
def test_each_calendar_day_has_its_amount_once(month: int, day: int, hour: int):
    reset = DailyReset(zone=PACIFIC, hour=hour)
    limit = named_limit("rpd", 100, reset=reset)
    account, now, wall = Account(), 0.0, unix(month, day, 12) - 2 * 86_400
    starts: list[float] = []
    while now < 4 * 86_400:
        starts.append(wall + now)
        account.settle("b", [limit], ONE)
        now += delay_of(book(account, "b", [limit], now=now, wall=wall + now))
    days = Counter(reset.day(start) for start in starts)
    full = sorted(days)[:-1]
    assert [days[number] for number in full] == [101, *[100] * (len(full) - 1)]  # one is made up
    assert full == list(range(full[0], full[0] + len(full)))
    for first, last in ((starts[101], starts[201]), (starts[201], starts[301])):
        assert (first, last) == (reset.ends(first - 1), reset.ends(first))


def test_a_step_of_the_wall_clock_changes_nothing_for_sliding_limits():
    account, limit = Account(), named_limit("rpm", 1)
    book(account, "a", [limit], now=0)
    delays = [
        delay_of(book(account, f"b{step}", [limit], now=1, wall=EPOCH + step))
        + account.refund(f"b{step}")
        for step in (0, 3600, -3600)
    ]
    assert delays[0] == delays[1] == delays[2] >= 60


def test_a_step_of_the_wall_clock_over_midnight_and_back_keeps_the_count_of_the_day():
    account, night = Account(), unix(6, 16) - 1800
    for k in range(3):
        book(account, f"a{k}", [RPD], wall=night)
    for k in range(2):
        book(account, f"b{k}", [RPD], wall=night + 3600)
    account = Account.load(account.dump())
    assert used(account, [RPD], now=0, wall=night) == [3]
    assert used(account, [RPD], now=0, wall=night + 3600) == [2]
    assert delay_of(book(account, "a3", [RPD], wall=night)) == 0
    assert delay_of(book(account, "a4", [RPD], wall=night)) == 1800


def test_a_start_that_comes_on_another_day_than_booked_is_booked_again():
    account, night = Account(), unix(6, 16) - 1800
    for k in range(4):
        book(account, f"a{k}", [RPD], wall=night)
    assert delay_of(book(account, "b", [RPD], wall=night)) == 1800
    wait = account.confirm("b", [RPD], ONE, now=1800, wall=night + 1800 - 3600).delay
    assert wait == pytest.approx(3600)  # the clock was put back, and the day is full
    assert account.confirm("b", [RPD], ONE, now=5400, wall=night + 1800) == Booked(delay=0.0)


def test_no_start_lies_where_nobody_knows_on_which_day_it_will_count():
    account, night = Account(), unix(6, 16)
    limit = evolve(RPD, guard=2.0)
    assert delay_of(book(account, "a", [limit], wall=night - 3)) == 0
    assert delay_of(book(account, "b", [limit], wall=night - 1)) == pytest.approx(1)


def test_days_booked_far_ahead_are_not_forgotten_when_written():
    account = Account()
    for k in range(22):
        book(account, f"b{k}", [RPD], wall=unix(6, 16))
    account = Account.load(account.dump())
    for k in reversed(range(5, 22)):
        account.refund(f"b{k}")
    assert used(account, [RPD], now=0, wall=unix(6, 16)) == [4]
    assert delay_of(book(account, "c", [RPD], wall=unix(6, 16))) == 86_400


def test_a_pool_where_one_counts_days_and_one_a_sliding_window_keeps_both():
    account, sliding = Account(), named_limit("rpd", 4)
    wall = unix(6, 16, 12)
    book(account, "a", [RPD], wall=wall)
    book(account, "b", [sliding], Weight(requests=3), wall=wall)
    account.refund("b")
    account.settle("a", [RPD], Weight(requests=2))
    assert used(account, [RPD, sliding], now=0, wall=wall) == [2, 0]


# ---------------------------------------------------------------- against the shadow

WINDOW = Limit(name="requests per 5h", measure=Measure.REQUESTS, amount=12, per=18_000)
INPUT = Limit(name="input_tokens per 30s", measure=Measure.INPUT_TOKENS, amount=400, per=30)
GEMINI = (named_limit("rpm", 5), TPM, INPUT, WINDOW, RPD)
FLASH = (named_limit("rpm", 8, guard=2.0), evolve(TPM, amount=600), named_limit("tpd", 5000))
weights = st.builds(
    Weight,
    requests=st.sampled_from([1, 1, 1, 1, 2, 3, 13]),
    input_tokens=st.sampled_from([0, 1, 20, 100, 300, 401]),
    output_tokens=st.sampled_from([0, 1, 50, 200]),
)
indices = st.integers(0, 50)


class AgainstTheShadow(RuleBasedStateMachine):
    """Whatever happens to an account, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.shadow = Shadow()
        self.services: list[tuple[Limit, ...]] = [GEMINI, FLASH]

    @rule(
        service=st.integers(0, 1), weight=weights, max_delay=st.sampled_from([0, 5, 100, math.inf])
    )
    def book(self, service: int, weight: Weight, max_delay: float) -> None:
        self.shadow.book(self.services[service], weight, max_delay)

    @rule(seconds=st.sampled_from([0.001, 0.3, 5.0, 29.9, 60.0, 61.0, 7000.0]))
    def wait(self, seconds: float) -> None:
        self.shadow.now += seconds

    @precondition(lambda self: self.shadow.held)
    @rule(late=st.sampled_from([-1.0, 0.0, 0.0, 0.01, 0.049, 0.06, 3.0]), index=indices)
    def wake(self, late: float, index: int) -> None:
        booking = self.shadow.held[index % len(self.shadow.held)]
        at = self.shadow.starts[booking].at
        self.shadow.now = max(self.shadow.now, at + late if math.isfinite(at) else 0.0)
        self.shadow.confirm(booking)

    @precondition(lambda self: self.shadow.held)
    @rule(index=indices)
    def ask_before_its_moment(self, index: int) -> None:
        self.shadow.confirm(self.shadow.held[index % len(self.shadow.held)])

    @precondition(lambda self: self.shadow.running)
    @rule(index=indices, weight=weights)
    def settle(self, index: int, weight: Weight) -> None:
        self.shadow.settle(self.shadow.running[index % len(self.shadow.running)], weight)

    @precondition(lambda self: self.shadow.held)
    @rule(index=indices)
    def cancel(self, index: int) -> None:
        self.shadow.refund(self.shadow.held[index % len(self.shadow.held)])

    @rule(seconds=st.sampled_from([-50.0, 10.0, 90.0]))
    def close(self, seconds: float) -> None:
        self.shadow.close(seconds)

    @rule()
    def write_and_read(self) -> None:
        self.shadow.reload()

    @rule(by=st.floats(-900, 900))
    def restart_the_machine(self, by: float) -> None:
        self.shadow.shift(by)

    @rule(by=st.sampled_from([-3600.0, 3600.0]))
    def put_the_wall_clock(self, by: float) -> None:
        self.shadow.wall_ahead += by

    @rule(service=st.integers(0, 1), rpm=st.integers(3, 9), per=st.sampled_from([20.0, 60.0, 90.0]))
    def change_the_limits(self, service: int, rpm: int, per: float) -> None:
        first, *others = self.services[service]
        self.services[service] = (evolve(first, amount=rpm, per=per), *others)

    def teardown(self) -> None:
        self.shadow.check()


TestAgainstTheShadow = AgainstTheShadow.TestCase
TestAgainstTheShadow.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_balances_are_exact_after_a_hundred_thousand_random_operations():
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    ever = Limit(name="ever", measure=Measure.TOKENS, amount=10**15, per=1e9)
    limits = [named_limit("rpm", 600), named_limit("tpm", 100_000), ever]
    account, now, total = Account(), 0.0, 0
    waiting: dict[str, tuple[float, int]] = {}
    for step in range(100_000):
        now += random.expovariate(10)
        action = random.random()
        weight = tokens(random.randint(0, 2000))
        if action < 0.5:
            max_delay = random.choice([0.0, 10.0])
            outcome = book(account, f"b{step}", limits, weight, now=now, max_delay=max_delay)
            if isinstance(outcome, Booked):
                waiting[f"b{step}"] = (now + outcome.delay, weight.input_tokens)
        elif waiting:
            booking = random.choice(list(waiting))
            _, reserved = waiting.pop(booking)
            if action < 0.6:
                assert account.refund(booking)
            else:
                assert account.settle(booking, limits, weight)
                total += weight.input_tokens
        if step % 1000 == 0:
            account = Account.load(account.dump())
            assert used(account, [ever], now=now) == [total + sum(w for _, w in waiting.values())]
    for booking, (_, reserved) in waiting.items():
        account.settle(booking, limits, tokens(reserved))
        total += reserved
    assert used(account, limits, now=now + 1000) == [0, 0, total]
    assert not account.bookings
