"""The breaker: when it opens, who may try, what changes nothing, when it forgets."""

import math
from random import Random

import pytest

from leyline.calls.breaker import LOOK_AGAIN, Breaker, Change, Denied, Permit
from leyline.model import BreakerState
from leyline.policies import BreakerPolicy

CLOSED, OPEN, HALF_OPEN, DISABLED = BreakerState
POLICY = BreakerPolicy()
LEASE = 30.0
HOUR = 3600.0
FOR_LONG = 1000.0
"""Seconds after which any opening is over."""


class Centre(Random):
    """No jitter: always the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def breaker(policy: BreakerPolicy = POLICY, *, rng: Random | None = None) -> Breaker:
    return Breaker(policy, rng=rng or Centre(), lease=LEASE)


def let_go(service: Breaker, now: float = 0.0) -> Permit:
    permit = service.allow(now)
    assert isinstance(permit, Permit)
    return permit


def denied(service: Breaker, now: float = 0.0) -> Denied:
    answer = service.allow(now)
    assert isinstance(answer, Denied)
    return answer


def end(service: Breaker, outcomes: str, now: float = 0.0, every: float = 0.0) -> Change | None:
    """Calls one after the other: f fails, s succeeds, n says nothing."""
    change = None
    for outcome in outcomes:
        assert change is None, "opened too early"
        permit = let_go(service, now)
        if outcome == "n":
            service.dropped(permit, now)
        else:
            change = (service.failed if outcome == "f" else service.succeeded)(permit, now)
        now += every
    return change


def opened(policy: BreakerPolicy = POLICY, *, rng: Random | None = None) -> Breaker:
    """Opened at 0; with the defaults and no jitter until 10."""
    service = breaker(policy, rng=rng)
    assert end(service, "f" * policy.consecutive)
    return service


def opened_for(service: Breaker, now: float) -> float:
    assert service.state(now) is OPEN
    return service.snapshot(now).until - now


def reopen(service: Breaker, times: int) -> float:
    """Let so many probes fail; returns when the last one did."""
    now = 0.0
    for _ in range(times):
        now = service.snapshot(now).until
        assert service.failed(let_go(service, now), now)
    return now


ONLY_RATE = BreakerPolicy(consecutive=1000, rate=0.5, volume=10)
ONLY_ROW = BreakerPolicy(consecutive=3, volume=1000)


@pytest.mark.parametrize(
    ("policy", "outcomes", "every", "opens"),
    [
        (POLICY, "fffff", 0.0, True),
        (POLICY, "ffff", 0.0, False),
        (POLICY, "ffffsffff", 6.0, False),
        (POLICY, "ffnnnnfnff", 1.0, True),
        (POLICY, "fffff", HOUR / 3, True),
        (POLICY, "n" * 1000, 0.0, False),
        (POLICY, "fsnn" * 100, 15.0, False),
        (ONLY_ROW, "sfff", 1.0, True),
        (ONLY_ROW, "ffs" * 50, 0.1, False),
        (ONLY_RATE, "s" * 5 + "f" * 5, 1.0, True),
        (ONLY_RATE, "s" * 5 + "f" * 4, 1.0, False),
        (ONLY_RATE, "s" * 6 + "f" * 5, 1.0, False),
        (ONLY_RATE, "f" * 9, 1.0, False),
        (ONLY_RATE, "f" * 10, 1.0, True),
        (ONLY_RATE, "f" * 9 + "s", 1.0, False),
        (ONLY_RATE, "f" * 9 + "sf", 1.0, True),
        (ONLY_RATE, "f" * 9 + "n" * 50, 0.1, False),
        (ONLY_RATE, "f" * 100, 7.0, False),
        (BreakerPolicy(consecutive=99, rate=0.28, volume=25), "s" * 18 + "f" * 7, 0.0, True),
        (BreakerPolicy(consecutive=99, rate=1.0, volume=2), "sfff", 0.0, False),
        (BreakerPolicy(consecutive=1), "f", 0.0, True),
    ],
)
def test_what_opens_it(policy: BreakerPolicy, outcomes: str, every: float, opens: bool):
    service = breaker(policy)
    change = end(service, outcomes, every=every)
    assert (change is not None) is opens
    last = (len(outcomes) - 1) * every
    assert service.state(last) is (OPEN if opens else CLOSED)


def test_failures_that_the_window_has_left_behind_do_not_count_for_the_rate():
    service = breaker(ONLY_RATE)
    assert end(service, "f" * 9, now=0.0) is None
    assert end(service, "s" * 20, now=59.9) is None
    assert service.snapshot(59.9).failures == 9
    assert end(service, "f" * 9, now=60.0) is None
    assert service.snapshot(60.0).failures == 9


def test_the_window_slides_by_tenths():
    service = breaker(ONLY_RATE)
    for slice_ in range(10):
        end(service, "s", now=6.0 * slice_ + 3)
    calls = [service.snapshot(60.0 + 6.0 * gone).calls for gone in range(11)]
    assert calls == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]


def test_a_time_read_a_moment_before_another_forgets_nothing():
    service = breaker()
    end(service, "fff", now=60.0)
    service.snapshot(54.0)
    assert service.snapshot(60.0).failures == 3
    end(service, "s", now=54.0)
    assert service.snapshot(60.0).calls == 4


def test_it_says_why_it_opened():
    in_a_row = end(breaker(), "fffff")
    part = end(breaker(ONLY_RATE), "s" * 4 + "f" * 6)
    assert in_a_row == Change(before=CLOSED, after=OPEN, reason="5 failures in a row")
    assert part is not None
    assert part.reason == "6 of 10 calls in the last 60 s failed"


def test_while_open_nobody_goes_and_all_hear_until_when():
    service = opened()
    for now in (0.0, 5.0, 9.999):
        expected = Denied(until=10.0, state=OPEN, reason="5 failures in a row")
        assert denied(service, now) == expected
    assert let_go(service, 10.0).probe


def test_of_a_thousand_callers_when_half_open_one_goes():
    service = opened()
    answers = [service.allow(10.0) for _ in range(1000)]
    (probe,) = [answer for answer in answers if isinstance(answer, Permit)]
    assert probe.probe
    assert probe.change is not None
    assert (probe.change.before, probe.change.after) == (OPEN, HALF_OPEN)
    others = [answer for answer in answers if isinstance(answer, Denied)]
    assert {(other.state, other.until) for other in others} == {(HALF_OPEN, 10.0 + LOOK_AGAIN)}


def test_it_is_half_open_from_the_end_of_its_open_time_on_even_if_nobody_comes():
    service = opened()
    assert service.state(9.999) is OPEN
    assert service.state(10.0) is service.snapshot(FOR_LONG).state is HALF_OPEN
    assert service.snapshot(FOR_LONG).until <= FOR_LONG


def test_a_probe_that_succeeds_closes_it_and_what_was_before_is_forgotten():
    service = opened()
    change = service.succeeded(let_go(service, 10.0), 12.0)
    assert change is not None
    assert (change.before, change.after) == (HALF_OPEN, CLOSED)
    now = service.snapshot(12.0)
    assert (now.state, now.consecutive, now.failures, now.calls) == (CLOSED, 0, 0, 0)
    assert not let_go(service, 12.0).probe
    assert end(service, "ffff", now=12.0) is None


def test_a_probe_that_fails_opens_it_for_twice_as_long_each_time_up_to_the_cap():
    service = opened()
    now = 0.0
    lengths = [opened_for(service, now)]
    for _ in range(7):
        now += lengths[-1]
        change = service.failed(let_go(service, now), now)
        assert change is not None
        assert (change.before, change.after) == (HALF_OPEN, OPEN)
        lengths.append(opened_for(service, now))
    assert lengths == [10, 20, 40, 60, 60, 60, 60, 60]


def test_an_outage_of_any_length_overflows_nothing():
    service = opened()
    now = reopen(service, 2000)
    assert opened_for(service, now) == pytest.approx(60)


def test_the_open_time_varies_by_a_tenth_both_ways():
    lengths = [opened_for(opened(rng=Random(seed)), 0.0) for seed in range(300)]
    assert min(lengths) >= 9.0
    assert max(lengths) <= 11.0
    assert max(lengths) - min(lengths) > 1.8


def test_a_probe_that_says_nothing_neither_closes_nor_opens_and_the_next_may_try_at_once():
    service = opened()
    service.dropped(let_go(service, 10.0), 11.0)
    assert service.state(11.0) is HALF_OPEN
    again = let_go(service, 11.0)
    assert again.probe
    assert again.change is None, "half open already"
    assert denied(service, 11.0).state is HALF_OPEN
    service.failed(again, 12.0)
    assert opened_for(service, 12.0) == 20, "only the one that failed counts"


def test_a_lost_probe_gives_way_when_its_lease_is_over():
    service = opened()
    let_go(service, 10.0)
    assert denied(service, 39.999).until == 40.0
    assert let_go(service, 40.0).probe
    assert denied(service, 69.999).until == 70.0
    assert service.state(40.0) is HALF_OPEN


def test_while_a_probe_is_out_the_others_are_told_to_look_again_soon_and_not_after_its_lease():
    service = opened()
    let_go(service, 10.0)
    for now in (10.0, 11.0, 25.5):
        assert denied(service, now).until == service.snapshot(now).until == now + LOOK_AGAIN
    assert service.snapshot(39.5).until == 40.0
    assert service.snapshot(41.0).until <= 41.0


def test_a_lost_probe_that_succeeds_after_all_closes_it_and_the_next_one_has_no_say_then():
    service = opened()
    lost = let_go(service, 10.0)
    successor = let_go(service, 45.0)
    assert service.succeeded(lost, 50.0)
    assert service.state(50.0) is CLOSED
    assert service.failed(successor, 51.0) is None
    assert service.state(51.0) is CLOSED
    assert service.snapshot(51.0).consecutive == 0


def test_a_service_slower_than_the_lease_comes_back_under_steady_load():
    service = opened()
    probes: list[tuple[float, Permit]] = []
    for second in range(10, 500):
        now = float(second)
        if isinstance(permit := service.allow(now), Permit):
            probes.append((now, permit))
        for began, probe in probes:
            if now == began + 3 * LEASE:
                service.succeeded(probe, now)
        if service.state(now) is CLOSED:
            break
    assert now == 10.0 + 3 * LEASE
    assert len(probes) == 4, "one a lease, and the first call once it is closed"


def test_a_lost_probe_that_is_dropped_does_not_let_another_go_beside_its_successor():
    service = opened()
    lost = let_go(service, 10.0)
    let_go(service, 45.0)
    service.dropped(lost, 46.0)
    denied(service, 46.0)
    assert denied(service, 74.999).until == 75.0


def test_a_late_success_of_a_call_from_before_the_opening_closes_nothing():
    service = breaker()
    slow = [let_go(service) for _ in range(4)]
    end(service, "fffff")
    assert service.succeeded(slow[0], 5.0) is None
    assert service.state(5.0) is OPEN
    probe = let_go(service, 10.0)
    assert service.succeeded(slow[1], 11.0) is None
    assert service.state(11.0) is HALF_OPEN
    assert denied(service, 11.0).state is HALF_OPEN, "the probe still keeps others from trying"
    service.failed(probe, 12.0)
    assert service.succeeded(slow[2], 13.0) is None
    assert opened_for(service, 13.0) == 19


def test_late_failures_of_calls_from_before_the_opening_neither_reopen_nor_lengthen():
    service = breaker()
    slow = [let_go(service) for _ in range(1000)]
    changes = [service.failed(permit, 0.0) for permit in slow[:500]]
    assert len([change for change in changes if change]) == 1
    assert opened_for(service, 0.0) == 10.0
    probe = let_go(service, 10.0)
    assert not any(service.failed(permit, 11.0) for permit in slow[500:750])
    assert service.state(11.0) is HALF_OPEN
    service.succeeded(probe, 12.0)
    assert not any(service.failed(permit, 13.0) for permit in slow[750:])
    assert service.snapshot(13.0).failures == 0
    assert service.state(13.0) is CLOSED


def test_calls_from_before_say_nothing_either_when_they_are_dropped():
    service = breaker()
    old = let_go(service)
    end(service, "fffff")
    service.dropped(old, 1.0)
    assert denied(service, 1.0).until == 10.0
    let_go(service, 10.0)
    service.dropped(old, 11.0)
    assert denied(service, 39.999).until == 40.0


def test_what_has_reported_may_still_be_dropped_which_changes_nothing():
    service = opened()
    probe = let_go(service, 10.0)
    service.failed(probe, 11.0)
    service.dropped(probe, 11.0)
    assert opened_for(service, 11.0) == 20.0


def test_a_storm_of_throttling_never_opens_it():
    service = breaker()
    end(service, "ffff")
    end(service, "n" * 10_000, now=1.0, every=0.001)
    assert service.state(11.0) is CLOSED
    assert service.snapshot(1.0).calls == 4


def test_a_service_that_soon_opens_again_stays_open_as_long_as_it_last_did():
    service = opened()
    now = reopen(service, 2)
    now = service.snapshot(now).until
    service.succeeded(let_go(service, now), now)
    now += POLICY.cap - 1
    assert end(service, "fffff", now=now)
    assert opened_for(service, now) == 40


def test_a_long_quiet_time_forgets_how_often_it_had_failed_to_come_back():
    service = opened()
    now = reopen(service, 4)
    now = service.snapshot(now).until
    service.succeeded(let_go(service, now), now)
    now += POLICY.cap
    assert end(service, "fffff", now=now)
    assert opened_for(service, now) == 10


def test_time_spent_open_is_not_time_spent_well():
    service = opened()
    now = reopen(service, 1) + FOR_LONG
    assert service.failed(let_go(service, now), now)
    assert opened_for(service, now) == 40


@pytest.mark.parametrize("before", [CLOSED, OPEN, HALF_OPEN])
def test_a_disabled_service_is_never_asked_again(before: BreakerState):
    service = breaker()
    pending = let_go(service)
    if before is not CLOSED:
        end(service, "fffff")
    if before is HALF_OPEN:
        pending = let_go(service, 10.0)
    change = service.disable("no such command")
    assert change == Change(before=before, after=DISABLED, reason="no such command")
    for now in (10.0, 20.0, 1e9):
        answer = denied(service, now)
        assert answer == Denied(until=math.inf, state=DISABLED, reason="no such command")
    assert service.succeeded(pending, 20.0) is None
    assert service.failed(pending, 20.0) is None
    service.dropped(pending, 20.0)
    assert service.state(1e9) is DISABLED
    assert denied(service, 1e9).until == math.inf


def test_the_first_reason_for_disabling_stays():
    service = breaker()
    service.disable("no such command")
    assert service.disable("another") is None
    assert service.snapshot(0.0).reason == "no such command"


def test_a_disabled_service_that_is_mended_is_asked_again_with_a_clean_window():
    service = breaker()
    end(service, "ffff")
    pending = let_go(service)
    service.disable("no such command")
    change = service.restore(50.0)
    assert change is not None
    assert (change.before, change.after) == (DISABLED, CLOSED)
    assert service.failed(pending, 50.0) is None
    assert service.snapshot(50.0).consecutive == 0
    assert not let_go(service, 50.0).probe


def test_a_service_that_is_mended_stays_open_no_longer_than_a_new_one():
    service = opened()
    now = reopen(service, 4)
    service.disable("no such command")
    service.restore(now)
    assert end(service, "fffff", now=now)
    assert opened_for(service, now) == 10


def test_mending_changes_nothing_where_it_was_not_disabled():
    closed, open_ = breaker(), opened()
    assert closed.restore(1.0) is None
    assert open_.restore(1.0) is None
    assert open_.state(1.0) is OPEN
    assert let_go(open_, 10.0).probe
    assert open_.restore(11.0) is None
    assert open_.state(11.0) is HALF_OPEN


def test_looking_changes_nothing():
    looked_at, left_alone = opened(), opened()
    for now in range(200):
        looked_at.state(float(now))
        looked_at.snapshot(float(now))
    assert let_go(looked_at, 200.0).probe
    assert let_go(left_alone, 200.0).probe
    assert looked_at.snapshot(200.0) == left_alone.snapshot(200.0)


@pytest.mark.parametrize("lease", [0.0, -1.0])
def test_a_lease_has_to_last(lease: float):
    with pytest.raises(ValueError, match="lease"):
        Breaker(POLICY, rng=Random(), lease=lease)
