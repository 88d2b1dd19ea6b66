"""A tool that was refused, and tries again by itself: another service answers meanwhile."""

import time
from pathlib import Path

import pytest

from leyline import ErrorPattern, FailureKind, ServiceConfig, ServiceRegistry

pytestmark = pytest.mark.anyio

SLOW = "echo Attempt 1 failed with 429, retrying in 30 s >&2; sleep 60; echo late"


def shell(script: str, **fields: object) -> ServiceConfig:
    return ServiceConfig(
        "svc", "sh", command_template=f"sh -c '{script}'", supports_files=False, **fields
    )


def persistent() -> ServiceConfig:
    notice = ErrorPattern(
        kind=FailureKind.RATE_LIMITED, match=r"retrying in (?P<retry_after>[\d.]+) s"
    )
    return shell(SLOW, retry_notices=(notice,), grace_seconds=0.2)


async def test_a_cascade_does_not_wait_until_the_tool_gives_up():
    began = time.monotonic()
    async with ServiceRegistry(":memory:") as registry:
        registry.register("first", persistent())
        registry.register("second", shell("echo here"))
        result = await registry.execute_with_failover("hi")
        assert (result.service, result.text) == ("second", "here")
        assert time.monotonic() - began < 20  # the tool itself would have taken 60
        # What it said is believed: it is left alone for as long as it was told to wait.
        status = await registry.quota_status("first")
    assert 20 < status.closed_for <= 30


async def test_the_last_service_is_left_to_try_by_itself(tmp_path: Path):
    script = f"echo retrying in 30 s >&2; sleep 0.5; echo done > {tmp_path}/end; echo answer"
    notice = ErrorPattern(kind=FailureKind.RATE_LIMITED, match="retrying")
    async with ServiceRegistry(":memory:") as registry:
        registry.register("only", shell(script, retry_notices=(notice,)))
        result = await registry.execute_with_failover("hi")
    assert result.text == "answer"
    assert (tmp_path / "end").exists()
