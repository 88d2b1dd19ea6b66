"""Quotas, as a user meets them: through the facade, with live processes."""

import asyncio
import time
from pathlib import Path

import anyio
import pytest

from leyline import (
    CommandNotFoundError,
    FailureKind,
    LedgerError,
    Priority,
    QuotaExceededError,
    QuotaLevel,
    ServiceConfig,
    ServiceRegistry,
)

pytestmark = pytest.mark.anyio


def shell(script: str, **fields: object) -> ServiceConfig:
    """A service that is a line of shell."""
    return ServiceConfig(
        "svc", "/bin/sh", command_template="{command} -c '" + script + "'", **fields
    )


async def test_what_does_not_fit_in_time_is_refused_at_once_with_the_facts():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("cat", quota_limits={"rpm": 2}))
        for _ in range(2):
            assert (await registry.execute("svc", "hi")).success
        began = time.monotonic()
        with pytest.raises(QuotaExceededError, match="rpm") as caught:
            await registry.execute("svc", "hi", deadline=5)
        assert time.monotonic() - began < 2
    assert (caught.value.limit, caught.value.used, caught.value.amount) == ("rpm", 2, 2)
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after < 62


async def test_without_a_deadline_a_start_is_waited_for_as_long_as_a_run_may_take():
    async with ServiceRegistry(":memory:") as registry:
        limits = {"windows": [{"requests": 1, "per": 1}]}
        registry.register("svc", shell("cat", quota_limits=limits))
        await registry.execute("svc", "hi")
        waited = await registry.execute("svc", "hi")
        assert waited.success
        assert waited.queued > 0.5
        with pytest.raises(QuotaExceededError):
            await registry.execute("svc", "hi", timeout=0.3)


async def test_a_call_that_starts_nothing_costs_nothing():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", ServiceConfig("svc", "no-such-tool", quota_limits={"rpm": 5}))
        with pytest.raises(CommandNotFoundError):
            await registry.execute("svc", "hi")
        assert [use.used for use in (await registry.quota_status("svc")).limits] == [0]


async def test_a_cancelled_wait_gives_back_what_it_booked():
    async with ServiceRegistry(":memory:") as registry:
        limits = {"windows": [{"requests": 1, "per": 600}]}
        registry.register("svc", shell("cat", quota_limits=limits))
        await registry.execute("svc", "hi")
        waiting = asyncio.ensure_future(registry.execute("svc", "hi", deadline=None))
        await anyio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await anyio.sleep(0.1)
        assert [use.used for use in (await registry.quota_status("svc")).limits] == [1]


async def test_a_run_that_is_cancelled_stays_charged():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("sleep 600", quota_limits={"rpm": 5}))
        running = asyncio.ensure_future(registry.execute("svc", "hi"))
        await anyio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await anyio.sleep(0.1)
        assert [use.used for use in (await registry.quota_status("svc")).limits] == [1]


async def test_two_registries_on_one_file_share_a_quota_also_after_a_restart(tmp_path: Path):
    state = tmp_path / "quota.sqlite3"
    config = shell("cat", quota_limits={"rpm": 3})
    async with ServiceRegistry(state) as one, ServiceRegistry(state) as other:
        for registry in (one, other):
            registry.register("svc", config)
        await one.execute("svc", "hi")
        await other.execute("svc", "hi")
    async with ServiceRegistry(state) as later:
        later.register("svc", config)
        await later.execute("svc", "hi")
        with pytest.raises(QuotaExceededError):
            await later.execute("svc", "hi", deadline=1)


async def test_what_one_registry_is_told_closes_the_service_for_the_others(tmp_path: Path):
    state = tmp_path / "quota.sqlite3"
    async with ServiceRegistry(state) as one, ServiceRegistry(state) as other:
        refusing = "echo 429 too many requests, retry in 30 s >&2; exit 1"
        one.register("svc", shell(refusing, quota_limits={"rpm": 100}, retry=None))
        other.register("svc", shell("cat", quota_limits={"rpm": 100}))
        result = await one.execute("svc", "hi")
        assert result.failure is not None
        assert result.failure.kind is FailureKind.RATE_LIMITED
        with pytest.raises(QuotaExceededError, match="too many requests") as caught:
            await other.execute("svc", "hi", deadline=5)
        assert caught.value.limit == "closed"
        assert 20 < (caught.value.retry_after or 0) <= 31
        status = await other.quota_status("svc")
    assert status.level is QuotaLevel.CRITICAL
    assert 20 < status.closed_for <= 30


async def test_a_service_without_limits_is_left_alone_for_as_long_as_it_asks(tmp_path: Path):
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("echo 429 retry in 30 s >&2; exit 1", retry=None))
        await registry.execute("svc", "hi")
        with pytest.raises(QuotaExceededError):
            await registry.execute("svc", "hi", deadline=5)


async def test_runs_at_the_same_time_are_limited(tmp_path: Path):
    log = tmp_path / "log"
    async with ServiceRegistry(":memory:") as registry:
        script = f"echo start >> {log}; sleep 0.2; echo end >> {log}; echo done"
        registry.register("svc", shell(script, quota_limits={"concurrent": 2}))
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(registry.execute, "svc", "hi")
    alive = most = 0
    for line in log.read_text().split():
        alive += 1 if line == "start" else -1
        most = max(most, alive)
    assert (alive, most) == (0, 2)


async def test_services_of_a_pool_share_one_account():
    async with ServiceRegistry(":memory:") as registry:
        for name in ("one", "two"):
            registry.register(name, shell("cat", quota_limits={"rpm": 2, "pool": "account"}))
        await registry.execute("one", "hi")
        await registry.execute("two", "hi")
        with pytest.raises(QuotaExceededError, match='rpm in the pool "account"') as refused:
            await registry.execute("one", "hi", deadline=1)
        assert refused.value.service == "one"
        assert (await registry.quota_status("two")).account == "account"


async def test_a_pool_without_a_free_slot_refuses_in_the_name_of_the_service(tmp_path: Path):
    async with ServiceRegistry(tmp_path / "quotas") as registry:
        for name in ("one", "two"):
            limits = {"concurrent": 1, "pool": "account"}
            registry.register(name, shell("sleep 30", quota_limits=limits))
        async with anyio.create_task_group() as group:
            group.start_soon(registry.execute, "one", "hi")
            await anyio.sleep(0.3)
            with pytest.raises(QuotaExceededError, match="still busy") as refused:
                await registry.execute("two", "hi", deadline=0.1)
            assert refused.value.service == "two"
            group.cancel_scope.cancel()


async def test_services_of_a_pool_share_a_day_whatever_they_call_it():
    async with ServiceRegistry(":memory:") as registry:
        for name, limit in (("one", "daily"), ("two", "rpd")):
            registry.register(name, shell("cat", quota_limits={limit: 2, "pool": "account"}))
        await registry.execute("one", "hi")
        await registry.execute("two", "hi")
        with pytest.raises(QuotaExceededError):
            await registry.execute("one", "hi", deadline=1)


async def test_a_dry_run_counts_and_holds_nothing_back():
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("cat", quota_limits={"rpm": 1, "dry_run": True}))
        for _ in range(3):
            assert (await registry.execute("svc", "hi", deadline=20)).success
        status = await registry.quota_status("svc")
    assert [use.used for use in status.limits] == [3]
    assert status.level is QuotaLevel.CRITICAL


async def test_without_async_with_quotas_hold_too(tmp_path: Path):
    registry = ServiceRegistry(tmp_path / "quota.sqlite3")
    registry.register("svc", shell("cat", quota_limits={"rpm": 2}))
    for _ in range(2):
        assert (await registry.execute("svc", "hi")).success
    with pytest.raises(QuotaExceededError):
        await registry.execute("svc", "hi", deadline=1)


async def test_a_store_that_cannot_be_used_starts_nothing(tmp_path: Path):
    (tmp_path / "state").write_text("this is no database, and must stay as it is")
    started = tmp_path / "started"
    async with ServiceRegistry(tmp_path / "state") as registry:
        registry.register("svc", shell(f"touch {started}", quota_limits={"rpm": 2}))
        with pytest.raises(LedgerError, match="state"):
            await registry.execute("svc", "hi")
    assert not started.exists()
    assert (tmp_path / "state").read_text() == "this is no database, and must stay as it is"


async def break_down(*_: object, **__: object) -> bool:
    raise LedgerError("the store", "is broken")


async def test_a_store_that_breaks_during_a_run_does_not_lose_its_result(monkeypatch):
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("cat", quota_limits={"rpm": 5}))
        monkeypatch.setattr("leyline.quota.Store.settle", break_down)
        monkeypatch.setattr("leyline.quota.Store.throttle", break_down)
        assert (await registry.execute("svc", "hi")).text == "hi"
        registry.register(
            "svc", shell("echo 429 >&2; exit 1", quota_limits={"rpm": 5}), replace=True
        )
        result = await registry.execute("svc", "hi")
        assert result.failure is not None
        assert result.failure.kind is FailureKind.RATE_LIMITED


async def test_a_store_that_breaks_does_not_hide_why_nothing_was_started(monkeypatch):
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", ServiceConfig("svc", "no-such-tool", quota_limits={"rpm": 5}))
        monkeypatch.setattr("leyline.quota.Store.refund", break_down)
        with pytest.raises(CommandNotFoundError):
            await registry.execute("svc", "hi")


async def test_a_store_that_breaks_under_a_cancelled_run_ends_nothing_else(monkeypatch):
    async with ServiceRegistry(":memory:") as registry:
        registry.register("svc", shell("sleep 600", quota_limits={"rpm": 5}))
        registry.register("other", ServiceConfig("other", "cat", command_template="cat"))
        monkeypatch.setattr("leyline.quota.Store.settle", break_down)
        running = asyncio.ensure_future(registry.execute("svc", "hi"))
        await anyio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await anyio.sleep(0.1)
        assert (await registry.execute("other", "hi")).text == "hi"


async def test_a_call_of_high_priority_goes_before_those_that_wait():
    order: list[str] = []
    async with ServiceRegistry(":memory:") as registry:
        registry.register(
            "svc",
            shell("cat", quota_limits={"windows": [{"requests": 1, "per": 0.4}], "burst": 99}),
        )

        async def call(name: str, priority: Priority) -> None:
            await registry.execute("svc", name, priority=priority)
            order.append(name)

        async with anyio.create_task_group() as group:
            for name, priority in (
                ("first", Priority.NORMAL),
                ("head", Priority.NORMAL),
                ("low", Priority.LOW),
                ("normal", Priority.NORMAL),
                ("high", Priority.HIGH),
            ):
                group.start_soon(call, name, priority)
                await anyio.sleep(0.02)
    assert order == ["first", "head", "high", "normal", "low"]
