"""Healthy below 80 %, warning up to 95 %, critical above."""

import pytest

from leyline.limits import QuotaLevel, level_of
from leyline.quota.account import AccountStatus, LimitStatus
from leyline.quota.level import quota_status


@pytest.mark.parametrize(
    ("used", "level"),
    [
        (0, QuotaLevel.HEALTHY),
        (79, QuotaLevel.HEALTHY),
        (80, QuotaLevel.WARNING),
        (95, QuotaLevel.WARNING),
        (96, QuotaLevel.CRITICAL),
        (100, QuotaLevel.CRITICAL),
        (150, QuotaLevel.CRITICAL),
    ],
)
def test_levels(used: int, level: QuotaLevel):
    assert level_of(used / 100) is level


def limit(name: str, used: int) -> LimitStatus:
    return LimitStatus(name=name, used=used, amount=100, frees_in=1.0)


def test_a_quota_is_as_bad_as_its_worst_limit():
    status = quota_status("svc", "pool", AccountStatus(limits=(limit("rpm", 5), limit("tpm", 90))))
    assert (status.service, status.account, status.level) == ("svc", "pool", QuotaLevel.WARNING)
    assert [(u.name, u.level) for u in status.limits] == [
        ("rpm", QuotaLevel.HEALTHY),
        ("tpm", QuotaLevel.WARNING),
    ]


def test_a_quota_without_limits_is_healthy_and_a_closed_one_critical():
    assert quota_status("s", "s", AccountStatus(limits=())).level is QuotaLevel.HEALTHY
    closed = AccountStatus(limits=(limit("rpm", 0),), closed_for=3.0, reason="later")
    status = quota_status("s", "s", closed)
    assert (status.level, status.closed_for, status.reason) == (QuotaLevel.CRITICAL, 3.0, "later")
