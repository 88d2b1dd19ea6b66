"""The book of what was spent, as a registry keeps it: with live processes."""

from pathlib import Path

import anyio
import pytest

from leyline import (
    AllServicesFailedError,
    CommandNotFoundError,
    QuotaExceededError,
    ServiceConfig,
    ServiceRegistry,
)
from leyline.usage import MemorySink
from leyline.usage.book import UsageBook

pytestmark = pytest.mark.anyio


def shell(script: str, **fields: object) -> ServiceConfig:
    return ServiceConfig(
        "svc", "sh", command_template=f"sh -c '{script}'", supports_files=False, **fields
    )


async def test_each_process_and_each_refused_call_is_in_the_book_once():
    sink = MemorySink()
    async with ServiceRegistry(":memory:", usage=sink, session="mine") as registry:
        registry.register("good", shell("echo fine", quota_limits={"rpm": 2}))
        registry.register("bad", shell("exit 3"))
        registry.register("gone", ServiceConfig("gone", "no-such-tool"))
        await registry.execute("good", "one")
        await registry.execute("bad", "two")  # three attempts
        with pytest.raises(CommandNotFoundError):
            await registry.execute("gone", "three")
        await registry.execute_with_failover("four", services=["gone", "bad", "good"])
        with pytest.raises(QuotaExceededError):
            await registry.execute("good", "five", deadline=1)
        with pytest.raises(AllServicesFailedError):
            await registry.execute_with_failover("six", services=["gone"])
    told = [(r.service, r.operation, r.attempt, r.success, r.failure) for r in sink.records]
    assert told == [
        ("good", "execute", 1, True, ""),
        ("bad", "execute", 1, False, "crashed"),
        ("bad", "execute", 2, False, "crashed"),
        ("bad", "execute", 3, False, "crashed"),
        ("gone", "execute", 1, False, "command_not_found"),
        ("good", "execute_with_failover", 1, True, ""),
        ("good", "execute", 1, False, "quota_exceeded"),
        ("", "execute_with_failover", 1, False, "all_services_failed"),
    ]
    assert [r.refused for r in sink.records] == [False] * 4 + [True, False, True, True]
    assert {r.session for r in sink.records} == {"mine"}
    assert len({r.call for r in sink.records}) == 6
    assert all(r.prompt is None and r.prompt_bytes > 0 for r in sink.records)


async def test_the_loser_of_a_race_is_in_the_book_too():
    sink = MemorySink()
    async with ServiceRegistry(":memory:", usage=sink, keep_prompts=True) as registry:
        registry.register("fast", shell("echo fast"))
        registry.register("slow", shell("sleep 60"))
        await registry.race("hello", ["slow", "fast"])
        with anyio.fail_after(20):
            while len(sink.records) < 2:
                await anyio.sleep(0.01)
    by_service = {record.service: record for record in sink.records}
    assert by_service["slow"].failure == "cancelled"
    assert not by_service["slow"].refused
    assert by_service["slow"].at > 1_700_000_000
    assert by_service["fast"].success
    assert {r.operation for r in sink.records} == {"race"}
    assert {r.prompt for r in sink.records} == {"hello"}


async def test_it_lies_beside_the_state_and_is_there_when_the_registry_has_closed(tmp_path: Path):
    async with ServiceRegistry(tmp_path / "quota.sqlite3") as registry:
        registry.register("svc", shell("echo fine"))
        for _ in range(20):
            await registry.execute("svc", "hi")
    with UsageBook.open(tmp_path / "usage.sqlite3") as book:
        assert sum(1 for _ in book.records()) == 20


async def test_without_a_place_or_in_memory_nothing_is_written(tmp_path: Path):
    for state, usage in ((":memory:", None), (tmp_path / "quota.sqlite3", False)):
        async with ServiceRegistry(state, usage=usage) as registry:
            registry.register("svc", shell("echo fine"))
            await registry.execute("svc", "hi")
    assert not list(tmp_path.glob("usage*"))


async def test_a_book_that_cannot_be_written_hinders_no_call(tmp_path: Path):
    (tmp_path / "file").touch()
    async with ServiceRegistry(":memory:", usage=tmp_path / "file" / "usage.sqlite3") as registry:
        registry.register("svc", shell("echo fine"))
        assert (await registry.execute("svc", "hi")).success


def test_what_is_no_place_is_refused_at_once():
    with pytest.raises(TypeError, match="usage must be a path"):
        ServiceRegistry(":memory:", usage=3)  # pyright: ignore[reportArgumentType]
