"""Many calls from one source: each result once, as it comes, and nothing more taken than runs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from leyline import (
    AllServicesFailedError,
    Call,
    FailureKind,
    RegistryClosedError,
    ServiceNotFoundError,
    ServiceRegistry,
)
from leyline.routing.map import Mapped
from leyline.testing import VIRTUAL_BACKEND, VIRTUAL_CLOCK, Asked, ScriptedService

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


@pytest.fixture
async def registry() -> AsyncIterator[ServiceRegistry]:
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        yield registry


def seconds(asked: Asked) -> float:
    """As long as the prompt says."""
    return float(asked.prompt)


class Source:
    """Numbers without end; counts what was taken."""

    def __init__(self, count: int = 10**9) -> None:
        self.count = count
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        while self.taken < self.count:
            self.taken += 1
            yield str(self.taken - 1)


async def prompts(mapped: AsyncIterator[Mapped], into: list[str] | None = None) -> list[str]:
    """Those of all that came; also *into* a list, for what ends with an error."""
    came = [] if into is None else into
    async for item in mapped:
        came += [item.call.prompt]
    return came


async def test_results_come_as_they_are_done(registry: ServiceRegistry):
    ScriptedService("svc", latency=seconds).register(registry)
    items = [item async for item in registry.map(["3", "1", "2"])]
    assert [(item.index, item.result.text) for item in items] == [(1, "1"), (2, "2"), (0, "3")]


async def test_in_order_they_come_as_in_the_source(registry: ServiceRegistry):
    ScriptedService("svc", latency=seconds).register(registry)
    items = [item async for item in registry.map(["3", "1", "2"], ordered=True)]
    assert [(item.index, item.result.text) for item in items] == [(0, "3"), (1, "1"), (2, "2")]
    assert anyio.current_time() == 3  # all at once nevertheless


async def test_a_source_may_be_asynchronous_and_slow(registry: ServiceRegistry):
    async def source() -> AsyncIterator[str]:
        for number in range(5):
            await anyio.sleep(10)
            yield f"prompt {number}"

    ScriptedService("svc", latency=1.0).register(registry)
    came = [(anyio.current_time(), item.index) async for item in registry.map(source())]
    assert came == [(11, 0), (21, 1), (31, 2), (41, 3), (51, 4)]  # none waits for the next


async def test_an_empty_source_gives_nothing(registry: ServiceRegistry):
    assert await prompts(registry.map([])) == []


async def test_so_many_run_at_once_and_no_more(registry: ServiceRegistry):
    svc = ScriptedService("svc", latency=1.0)
    svc.register(registry)
    assert len(await prompts(registry.map(Source(70), concurrency=7))) == 70
    assert svc.most == 7
    assert anyio.current_time() == pytest.approx(10)


async def test_nothing_is_taken_that_cannot_begin(registry: ServiceRegistry):
    ScriptedService("svc", latency=(0.1, 5.0)).register(registry)
    source, ahead, consumed = Source(300), [], 0
    async for _ in registry.map(source, concurrency=8):
        consumed += 1
        ahead.append(source.taken - consumed)
    assert consumed == 300
    assert max(ahead) <= 8
    assert ahead.count(7) + ahead.count(8) > 200  # all places are used


async def test_a_slow_consumer_holds_the_source_back(registry: ServiceRegistry):
    ScriptedService("svc", latency=1.0).register(registry)
    source, consumed = Source(), 0
    async with aclosing(registry.map(source, concurrency=8)) as items:
        async for _ in items:
            consumed += 1
            await anyio.sleep(100)
            assert source.taken - consumed <= 8
            if consumed == 20:
                break


async def test_one_that_takes_long_holds_up_the_ordered_and_bounds_what_is_taken(
    registry: ServiceRegistry,
):
    ScriptedService("svc", latency=lambda asked: 1000.0 if asked.prompt == "0" else 1.0).register(
        registry
    )
    source = Source(200)
    ordered = registry.map(source, concurrency=8, ordered=True)
    ahead = [source.taken - item.index - 1 async for item in ordered]
    assert max(ahead) <= 4 * 8
    assert ahead[0] >= 4 * 8 - 1


async def test_a_failed_item_is_a_result(registry: ServiceRegistry):
    ScriptedService("svc", failures=[None, "bad_request", None]).register(registry)
    items = [item async for item in registry.map(["a", "b", "c"], concurrency=1)]
    assert [item.result.success for item in items] == [True, False, True]
    failed = items[1]
    assert failed.result.failure is not None
    assert failed.result.failure.kind is FailureKind.BAD_REQUEST
    assert isinstance(failed.error, AllServicesFailedError)
    assert items[0].error is None


async def test_an_item_that_nothing_can_start_for_is_a_result_too(registry: ServiceRegistry):
    svc = ScriptedService("svc")
    svc.register(registry)
    calls = ["a", Call(prompt="b", services=("missing",)), " ", "c"]
    items = [item async for item in registry.map(calls, concurrency=1)]
    assert [item.index for item in items] == [0, 1, 2, 3]
    assert isinstance(items[1].error, ServiceNotFoundError)
    assert "the prompt is empty" in str(items[2].error)
    assert all(item.result.attempts == 0 for item in items[1:3])
    assert items[3].result.success
    assert svc.runs == 2


async def test_a_poison_item_is_alone_with_its_fate(registry: ServiceRegistry):
    def outcome(asked: Asked) -> FailureKind | None:
        return FailureKind.CRASHED if asked.prompt == "666" else None

    services = [ScriptedService(f"s{n}", latency=1.0, failures=outcome) for n in range(3)]
    for service in services:
        service.register(registry)
    bad = [item async for item in registry.map(Source(1000)) if not item.result.success]
    assert [item.call.prompt for item in bad] == ["666"]
    assert sum(service.runs for service in services) == 999 + 3  # each was asked once


async def test_a_failure_goes_to_another_service_at_once(registry: ServiceRegistry):
    ScriptedService("a", latency=1.0, failures={"overloaded": 1.0}).register(registry)
    ScriptedService("b", latency=1.0).register(registry)
    items = [item async for item in registry.map(Source(20))]
    assert {item.result.service for item in items} == {"b"}


async def test_what_had_begun_is_given_before_what_the_source_raised(registry: ServiceRegistry):
    def source() -> Iterator[str]:
        yield from ("2", "1")
        raise OSError("the file is gone")

    ScriptedService("svc", latency=seconds).register(registry)
    given: list[str] = []
    with pytest.raises(OSError, match="the file is gone"):
        await prompts(registry.map(source()), given)
    assert given == ["1", "2"]


async def test_an_error_of_the_source_is_raised_whatever_it_is(registry: ServiceRegistry):
    async def source() -> AsyncIterator[str]:
        yield "a"
        raise RegistryClosedError

    ScriptedService("svc").register(registry)
    with pytest.raises(RegistryClosedError):
        await prompts(registry.map(source()))


@pytest.mark.parametrize("bad", [7, b"bytes", None, ["nested"]])
async def test_an_item_that_is_no_prompt_is_named(registry: ServiceRegistry, bad: object):
    ScriptedService("svc").register(registry)
    given: list[str] = []
    with pytest.raises(TypeError, match=rf"item 2 .* is of type {type(bad).__name__}; .* Call"):
        await prompts(registry.map(["a", "b", bad, "d"]), given)
    assert sorted(given) == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [("one prompt", "put it into a list"), (Call(prompt="x"), "put it into a list"), (5, "int")],
)
async def test_what_is_no_source_is_refused_at_once(
    registry: ServiceRegistry, source: object, reason: str
):
    with pytest.raises(TypeError, match=reason):
        registry.map(source)


async def test_mistakes_are_told_before_anything_is_taken(registry: ServiceRegistry):
    source = Source()
    with pytest.raises(ValueError, match="at least 1, got 0"):
        registry.map(source, concurrency=0)
    with pytest.raises(ServiceNotFoundError):
        registry.map(source, services=["missing"])
    assert source.taken == 0


async def test_it_needs_an_open_registry():
    with pytest.raises(RegistryClosedError, match="is not open; open it with"):
        ServiceRegistry(":memory:").map(["a"])


class LeftError(Exception):
    pass


async def leave_by_break(registry: ServiceRegistry, source: Source) -> None:
    async for item in registry.map(source, concurrency=8):
        if item.index >= 20:
            break


async def leave_by_return(registry: ServiceRegistry, source: Source) -> None:
    async for item in registry.map(source, concurrency=8):
        if item.index >= 20:
            return


async def leave_by_exception(registry: ServiceRegistry, source: Source) -> None:
    with pytest.raises(LeftError):
        async for item in registry.map(source, concurrency=8):
            if item.index >= 20:
                raise LeftError


async def leave_by_closing(registry: ServiceRegistry, source: Source) -> None:
    async with aclosing(registry.map(source, concurrency=8)) as items:
        async for item in items:
            if item.index >= 20:
                break


async def leave_by_cancellation(registry: ServiceRegistry, source: Source) -> None:
    with anyio.move_on_after(2.2):
        await prompts(registry.map(source, concurrency=8))


@pytest.mark.parametrize(
    "leave",
    [leave_by_break, leave_by_return, leave_by_exception, leave_by_closing, leave_by_cancellation],
)
async def test_leaving_the_loop_stops_everything(registry: ServiceRegistry, leave):
    svc = ScriptedService("svc", latency=(0.5, 1.0))
    svc.register(registry)
    source = Source()
    await leave(registry, source)
    await anyio.sleep(0.01)
    assert svc.in_flight == 0
    runs, taken = svc.runs, source.taken
    await anyio.sleep(100)
    assert (svc.runs, source.taken) == (runs, taken)
    assert taken <= 40


async def test_the_rest_of_a_source_is_left_where_it_is(registry: ServiceRegistry):
    ScriptedService("svc").register(registry)
    source = iter(str(number) for number in range(10))
    async with aclosing(registry.map(source, concurrency=1)) as items:
        assert (await anext(items)).call.prompt == "0"
    left = list(source)
    assert left[-1] == "9"
    assert len(left) >= 8


async def test_an_iterator_that_is_held_ends_with_its_registry():
    svc = ScriptedService("svc", latency=1.0)
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        svc.register(registry)
        items = registry.map(Source(), concurrency=4)
        await anext(items)
    assert svc.in_flight == 0
    with pytest.raises(RegistryClosedError):
        await prompts(items)


async def test_closing_the_registry_ends_the_loop(registry: ServiceRegistry):
    svc = ScriptedService("svc", latency=1.0)
    svc.register(registry)
    given = 0
    with pytest.raises(RegistryClosedError):
        async for _ in registry.map(Source(), concurrency=4):
            given += 1
            if given == 10:
                await registry.aclose()
    assert given <= 16
    assert svc.in_flight == 0


async def test_an_answer_that_is_not_accepted_is_asked_of_the_next(registry: ServiceRegistry):
    ScriptedService("a", text="no").register(registry)
    ScriptedService("b", text="yes").register(registry)
    items = registry.map(Source(10), accept=lambda result: result.text == "yes")
    assert [item.result.service async for item in items] == ["b"] * 10


async def test_an_answer_that_nobody_accepts_is_no_success(registry: ServiceRegistry):
    ScriptedService("a", text="bad").register(registry)
    (item,) = [item async for item in registry.map(["p"], accept=lambda _: False)]
    assert isinstance(item.error, AllServicesFailedError)
    assert (item.result.success, item.result.service, item.result.text) == (False, "a", "bad")
    assert item.result.failure is not None
    assert item.result.failure.message == "succeeded, but was not accepted"


async def test_a_name_of_a_file_that_no_system_takes_is_the_trouble_of_its_item_alone(
    registry: ServiceRegistry,
):
    ScriptedService("svc").register(registry)
    long = "a" * 300
    calls = ["one", Call(prompt="x", files=(long,)), Call(prompt="x", cwd=long), "two"]
    items = [item async for item in registry.map(calls, concurrency=1)]
    assert [item.result.success for item in items] == [True, False, False, True]
    assert "File name too long" in str(items[1].error)
    assert "is not a directory" in str(items[2].error)


async def test_what_accept_raises_ends_the_loop_as_itself(registry: ServiceRegistry):
    def accept(result: object) -> bool:
        raise LeftError

    svc = ScriptedService("svc", latency=(0.5, 1.0))
    svc.register(registry)
    with pytest.raises(LeftError):
        await prompts(registry.map(Source(), concurrency=8, accept=accept))
    await anyio.sleep(0.01)
    assert svc.in_flight == 0
    assert svc.runs == 8


async def test_an_item_may_say_services_model_and_files(registry: ServiceRegistry, tmp_path: Path):
    models: list[str | None] = []

    def text(asked: Asked) -> str:
        models.append(asked.model)
        return asked.prompt

    for name in ("a", "b"):
        ScriptedService(name, text=text, files_via="inline").register(registry)
    note = tmp_path / "note.txt"
    note.write_text("what the file says")
    calls = [
        "plain",
        Call(prompt="on b", services=("b",), model="big"),
        Call(prompt="with", files=(str(note),)),
        Call(prompt="nobody", services=()),
    ]
    plain, on_b, with_file, nobody = [
        item async for item in registry.map(calls, services=["a"], concurrency=1)
    ]
    assert (plain.result.service, on_b.result.service) == ("a", "b")
    assert models == [None, "big", None]
    assert "what the file says" in with_file.result.text
    assert on_b.call is calls[1]
    assert isinstance(nobody.error, AllServicesFailedError)


async def test_the_wait_of_an_item_begins_when_it_is_taken(registry: ServiceRegistry):
    ScriptedService("svc", latency=10.0).register(registry)
    calls = [Call(prompt=str(n), asked_at=VIRTUAL_CLOCK.wall()) for n in range(5)]
    async for item in registry.map(calls, concurrency=1):
        assert item.result.queued == pytest.approx(0, abs=0.01)


async def test_an_items_own_deadline_holds(registry: ServiceRegistry):
    svc = ScriptedService(
        "svc", latency=1.0, quota_limits={"windows": [{"requests": 1, "per": "1h"}]}
    )
    svc.register(registry)
    calls = [Call(prompt="a"), Call(prompt="b", deadline=60.0)]
    first, second = [item async for item in registry.map(calls, ordered=True)]
    assert first.result.success
    assert second.error is not None
    assert anyio.current_time() <= 60.1
