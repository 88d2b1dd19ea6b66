"""A service that comes back: those who wait for it go on when the probe has its answer."""

from collections.abc import AsyncIterator
from itertools import pairwise

import anyio
import pytest

from leyline import FailureKind, ServiceRegistry
from leyline.testing import VIRTUAL_BACKEND, VIRTUAL_CLOCK, Asked, ScriptedService

pytestmark = pytest.mark.anyio

BACK_AT = 12.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


@pytest.fixture
async def registry() -> AsyncIterator[ServiceRegistry]:
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        yield registry


def down_until_back(registry: ServiceRegistry, *, seconds: float, **config: object) -> None:
    """A service that fails until it is back, and then takes *seconds* for an answer."""

    def outcome(_: Asked) -> FailureKind | None:
        return None if anyio.current_time() >= BACK_AT else FailureKind.SERVER

    def latency(_: Asked) -> float:
        return seconds if anyio.current_time() >= BACK_AT else 0.1

    ScriptedService("svc", failures=outcome, latency=latency, retry=None, **config).register(
        registry
    )


async def open_breaker(registry: ServiceRegistry) -> None:
    for _ in range(5):
        assert not (await registry.execute("svc", "hello")).success


async def test_a_map_waits_for_the_answer_of_the_probe_and_not_for_its_time_out(
    registry: ServiceRegistry,
):
    down_until_back(registry, seconds=1.0, timeout_seconds=600.0)
    items = registry.map(map(str, range(60)), concurrency=8)
    answered = [anyio.current_time() async for item in items if item.result.success]
    assert len(answered) > 40
    assert answered[0] <= 40.0  # also where the first probe comes a moment too early
    assert max(b - a for a, b in pairwise(answered)) <= 5.0


async def test_a_cascade_outlasts_a_probe_that_answers_before_its_deadline(
    registry: ServiceRegistry,
):
    down_until_back(registry, seconds=20.0, timeout_seconds=120.0)
    await open_breaker(registry)
    await anyio.sleep(BACK_AT)  # half open from here on
    answered: list[str] = []

    async def ask(prompt: str) -> None:
        await registry.execute_with_failover(prompt, deadline=60.0)
        answered.append(prompt)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "probe")
        await anyio.sleep(1.0)
        group.start_soon(ask, "waits")
    assert answered == ["probe", "waits"]
