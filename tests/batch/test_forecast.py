"""When a running batch will be done, by its quotas and not only by its past."""

import math

import pytest

from leyline.batch.forecast import Room, time_left
from leyline.limits import DailyReset, named_limit
from leyline.quota import LimitStatus

RPM = named_limit("rpm", 60)
DAY = named_limit("rpd", 1_000, reset=DailyReset())
TPM = named_limit("tpm", 10_000)


def room(*limits, closed_for: float = 0.0, tokens: float = 100.0) -> Room:
    pairs = [
        (limit, LimitStatus(name=limit.name, used=used, amount=limit.amount, frees_in=frees_in))
        for limit, used, frees_in in limits
    ]
    return Room(limits=pairs, closed_for=closed_for, tokens=tokens)


@pytest.mark.parametrize(
    ("left", "rooms", "seconds"),
    [
        (0, [room()], 0.0),
        (80, [room()], 20.0),  # 8 at once, 2 s each
        (660, [room((RPM, 0, None))], 600.0),
        (600, [room((RPM, 60, 5.0))], 600.0),
        (660, [room((RPM, 0, None)), room((RPM, 0, None))], 270.0),
        (100, [room((DAY, 1_000, 3_600.0))], 3_600.0),
        (1_500, [room((DAY, 1_000, 3_600.0))], 90_000.0),
        (1_100, [room((TPM, 0, None))], 600.0),
        (80, [room(closed_for=500.0)], 500.0),
    ],
)
def test_the_slowest_of_what_holds_it_up_is_what_counts(left, rooms, seconds):
    found = time_left(left, rooms, lanes=8, seconds=2.0)
    assert found == pytest.approx(seconds, rel=0.01, abs=1.0)


def test_where_nothing_can_ever_start_there_is_no_end():
    assert math.isinf(time_left(9, [], lanes=8, seconds=2.0))
