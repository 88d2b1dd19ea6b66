"""Records to test with."""

from typing import Any

from leyline.usage import UsageRecord


def record(**facts: Any) -> UsageRecord:
    """One of a process that went well; *facts* are what matters to the test."""
    usual = {"at": 1_000_000.0, "service": "svc", "success": True, "requests": 1}
    return UsageRecord(**{**usual, **facts})
