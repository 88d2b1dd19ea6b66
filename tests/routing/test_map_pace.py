"""Quotas decide the pace of many calls: all of them are used, at the same time and in full."""

from collections import Counter
from collections.abc import AsyncIterator

import anyio
import pytest

from leyline import Call, FailureKind, Priority, ServiceRegistry
from leyline.testing import VIRTUAL_BACKEND, VIRTUAL_CLOCK, RateLimit, ScriptedService

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


@pytest.fixture
async def registry() -> AsyncIterator[ServiceRegistry]:
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        yield registry


def limited(registry: ServiceRegistry, name: str, per_minute: int) -> ScriptedService:
    """A service with a quota, whose provider refuses whatever is more."""
    service = ScriptedService(
        name,
        latency=(0.5, 2.0),
        rate_limit=RateLimit(per_minute),
        quota_limits={"rpm": per_minute},
    )
    service.register(registry)
    return service


async def run(registry: ServiceRegistry, count: int, *, concurrency: int) -> None:
    """Answer so many, and hold that each is answered, once."""
    seen: Counter[int] = Counter()
    calls = (f"prompt {number}" for number in range(count))
    async for item in registry.map(calls, concurrency=concurrency):
        assert item.result.success
        seen[item.index] += 1
    assert seen == Counter(range(count))


@pytest.mark.parametrize("rates", [(60, 30, 20), (20, 30, 60), (6, 600), (600, 6), (300, 60, 6)])
async def test_all_quotas_are_used_in_full_at_the_same_time(
    registry: ServiceRegistry, rates: tuple[int, ...]
):
    minutes = 20 if sum(rates) < 200 else 6
    services = [limited(registry, f"s{rate}", rate) for rate in rates]
    await run(registry, minutes * sum(rates), concurrency=32)
    # In each minute what each allows: the last starts lie in the last of the minutes.
    assert 60 * (minutes - 1) <= anyio.current_time() <= 60 * minutes / 0.985 + 2
    for service, rate in zip(services, rates, strict=True):
        assert service.runs == pytest.approx(minutes * rate, abs=2)
    assert all(service.refused == 0 for service in services)


async def test_one_worker_uses_whatever_has_room(registry: ServiceRegistry):
    services = [limited(registry, f"s{rate}", rate) for rate in (2, 3)]
    await run(registry, 30, concurrency=1)
    assert 60 * 5 <= anyio.current_time() <= 60 * 6 + 30
    assert all(service.refused == 0 for service in services)


async def test_a_quota_of_the_day_is_waited_for(registry: ServiceRegistry):
    windows = [{"requests": 10, "per": "1d"}]
    daily = ScriptedService("daily", latency=1.0, quota_limits={"windows": windows})
    daily.register(registry)
    await run(registry, 25, concurrency=4)
    assert 2 * 86_400 <= anyio.current_time() <= 2 * 86_400 * 1.01


async def test_nobody_waits_for_tomorrow_where_another_has_room_in_a_minute(
    registry: ServiceRegistry,
):
    windows = [{"requests": 5, "per": "1d"}]
    ScriptedService("daily", quota_limits={"windows": windows}).register(registry)
    minutely = limited(registry, "minutely", 30)
    await run(registry, 5 + 30 * 10, concurrency=16)
    assert anyio.current_time() <= 602
    assert minutely.runs == 300


async def test_what_a_provider_throttles_is_asked_again(registry: ServiceRegistry):
    provider = ScriptedService("provider", latency=0.5, rate_limit=RateLimit(60))
    provider.register(registry)
    await run(registry, 600, concurrency=16)
    assert provider.refused > 0
    assert anyio.current_time() <= 60 * 14


async def test_what_is_throttled_for_ever_fails_in_the_end(registry: ServiceRegistry):
    provider = ScriptedService("provider", failures={"rate_limited": 1.0})
    provider.register(registry)
    (item,) = [item async for item in registry.map(["a"])]
    assert item.result.failure is not None
    assert item.result.failure.kind is FailureKind.RATE_LIMITED
    assert 3 <= provider.runs <= 12


async def test_services_with_places_are_all_used(registry: ServiceRegistry):
    services = [
        ScriptedService(name, latency=latency, quota_limits={"concurrent": 2})
        for name, latency in (("slow", 60.0), ("quick", 1.0))
    ]
    for service in services:
        service.register(registry)
    await run(registry, 1000, concurrency=16)
    assert [service.most for service in services] == [2, 2]
    # Two places for a second each, and two for a minute each: 2 + 1/30 a second.
    assert anyio.current_time() <= 1000 / (2 + 1 / 30) + 62


async def test_the_more_urgent_goes_first_where_a_quota_is_short(registry: ServiceRegistry):
    for name in ("a", "b"):
        limited(registry, name, 6)
    order: list[str] = []

    async def call(name: str, priority: Priority) -> None:
        result = await registry.execute_with_failover(name, deadline=900.0, priority=priority)
        assert result.success
        order.append(name)

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(call, f"normal {number}", Priority.NORMAL)
        await anyio.sleep(30)
        group.start_soon(call, "urgent", Priority.HIGH)
    assert order.index("urgent") < 24  # of the next minute's twelve


async def test_two_sources_share_what_there_is(registry: ServiceRegistry):
    services = [limited(registry, f"s{rate}", rate) for rate in (60, 12)]
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(lambda: run(registry, 72 * 3, concurrency=8))
    assert 300 <= anyio.current_time() <= 362
    assert [service.runs for service in services] == [360, 72]


async def test_services_of_an_item_are_waited_for_alone(registry: ServiceRegistry):
    services = [limited(registry, name, 6) for name in ("a", "b")]
    calls = [Call(prompt=str(n), services=("ab"[n % 2],)) for n in range(48)]
    items = [item async for item in registry.map(calls, concurrency=48)]
    assert all(item.result.service == item.call.services[0] for item in items)
    assert [service.runs for service in services] == [24, 24]
    assert anyio.current_time() <= 242


async def test_a_retry_waits_for_the_quota_as_long_as_the_first_try(registry: ServiceRegistry):
    svc = ScriptedService("svc", failures=["overloaded"], quota_limits={"rpm": 1})
    svc.register(registry)
    (item,) = [item async for item in registry.map(["a"])]
    assert (item.result.success, item.result.attempts) == (True, 2)
    assert anyio.current_time() == pytest.approx(60, rel=0.02)
