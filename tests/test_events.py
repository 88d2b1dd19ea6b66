"""The hook that is told what happens."""

import asyncio
import logging
from collections import Counter
from functools import partial
from pathlib import Path

import anyio
import pytest

from leyline import (
    AllServicesFailedError,
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    BreakerPolicy,
    BreakerState,
    CallFinished,
    CallStarted,
    CommandNotFoundError,
    Event,
    FailedOver,
    HealthChanged,
    HealthStatus,
    HedgeStarted,
    QuotaLevel,
    QuotaLevelChanged,
    RetryPolicy,
    RetryScheduled,
    ServiceConfig,
    ServiceRegistry,
)
from leyline.events import Events

pytestmark = pytest.mark.anyio

CONFIG = ServiceConfig(
    name="echo", command="cat", command_template="{command}", quota_limits={"rpm": 5}
)


def shell(script: str, **fields: object) -> ServiceConfig:
    """A service that is a line of shell, tried once."""
    fields.setdefault("retry", None)
    return ServiceConfig("svc", "/bin/sh", command_template=f"{{command}} -c '{script}'", **fields)


def registry_of(told: list[Event], **configs: ServiceConfig) -> ServiceRegistry:
    registry = ServiceRegistry(":memory:", on_event=told.append)
    for name, config in configs.items():
        registry.register(name, config)
    return registry


def names(told: list[Event]) -> list[str]:
    """What was told of, but for health, which is told when it happens to be seen."""
    return [type(event).__name__ for event in told if not isinstance(event, HealthChanged)]


def of_type(told: list[Event], kind: type) -> list:
    return [event for event in told if isinstance(event, kind)]


def check_pairs(told: list[Event]) -> None:
    """Each start has one end, after it."""
    for begin, end, key in (
        (CallStarted, CallFinished, lambda event: event.call),
        (AttemptStarted, AttemptFinished, lambda event: (event.call, event.id, event.service)),
    ):
        starts = {key(event): place for place, event in enumerate(told) if isinstance(event, begin)}
        ends = Counter(key(event) for event in told if isinstance(event, end))
        assert ends == Counter(starts.keys())
        for place, event in enumerate(told):
            if isinstance(event, end):
                assert starts[key(event)] < place
                assert (event.result is None) != (event.error is None)


async def test_a_call_is_told_in_the_order_in_which_it_happens():
    told: list[Event] = []
    async with registry_of(told, svc=shell("echo hi")) as registry:
        result = await registry.execute("svc", "hello")
    assert names(told) == ["CallStarted", "AttemptStarted", "AttemptFinished", "CallFinished"]
    assert [event.at for event in told] == sorted(event.at for event in told)
    check_pairs(told)
    assert {event.call for event in told if not isinstance(event, HealthChanged)} == {told[0].call}
    assert told[0].operation == told[-1].operation == "execute"
    assert told[-1].result is result
    assert {event.service for event in told} == {"svc"}


async def test_a_retry_is_told_between_its_attempts():
    told: list[Event] = []
    retry = RetryPolicy(attempts=3, base=0.0)
    async with registry_of(told, svc=shell("exit 7", retry=retry)) as registry:
        await registry.execute("svc", "hello")
    attempt = ["AttemptStarted", "AttemptFinished"]
    assert names(told) == [
        "CallStarted", *attempt, "RetryScheduled", *attempt, "RetryScheduled", *attempt,
        "CallFinished",
    ]  # fmt: skip
    assert [event.attempt for event in of_type(told, AttemptStarted)] == [1, 2, 3]
    assert [event.attempt for event in of_type(told, RetryScheduled)] == [1, 2]
    assert all(event.reason.startswith("crashed") for event in of_type(told, RetryScheduled))
    check_pairs(told)


async def test_what_could_not_be_started_is_an_attempt_with_an_error():
    told: list[Event] = []
    async with registry_of(told, svc=ServiceConfig("svc", "no-such-tool")) as registry:
        with pytest.raises(CommandNotFoundError):
            await registry.execute("svc", "hello")
    (attempt,), (call,) = of_type(told, AttemptFinished), of_type(told, CallFinished)
    assert isinstance(attempt.error, CommandNotFoundError)
    assert call.error is attempt.error
    (change,) = of_type(told, BreakerChanged)
    assert (change.before, change.after) == (BreakerState.CLOSED, BreakerState.DISABLED)
    check_pairs(told)


async def test_a_cascade_is_one_call_that_says_where_it_went_and_why():
    told: list[Event] = []
    configs = {"one": shell("exit 7"), "two": shell("exit 8"), "three": shell("echo hi")}
    async with registry_of(told, **configs) as registry:
        await registry.execute_with_failover("hello")
    assert len(of_type(told, CallStarted)) == 1
    assert [event.service for event in of_type(told, AttemptStarted)] == list(configs)
    moves = [(event.origin, event.service) for event in of_type(told, FailedOver)]
    assert moves == [("one", "two"), ("two", "three")]
    assert all(event.reason.startswith("crashed") for event in of_type(told, FailedOver))
    assert {e.call for e in told if hasattr(e, "call")} == {told[0].call}
    check_pairs(told)


async def test_a_cascade_that_fails_ends_with_its_error():
    told: list[Event] = []
    async with registry_of(told, one=shell("exit 7"), two=shell("exit 8")) as registry:
        with pytest.raises(AllServicesFailedError) as caught:
            await registry.execute_with_failover("hello")
    assert of_type(told, CallFinished)[0].error is caught.value
    check_pairs(told)


async def test_each_attempt_of_a_race_has_its_own_end_also_those_of_one_service():
    told: list[Event] = []
    async with registry_of(told, slow=shell("sleep 600"), fast=shell("echo hi")) as registry:
        result = await registry.race("hello", ["slow", "slow", "fast"])
    assert result.service == "fast"
    started = of_type(told, AttemptStarted)
    assert sorted(event.service for event in started) == ["fast", "slow", "slow"]
    assert len({event.id for event in started}) == 3
    losers = [event for event in of_type(told, AttemptFinished) if event.service == "slow"]
    assert all(isinstance(event.error, asyncio.CancelledError) for event in losers)
    check_pairs(told)


async def test_a_hedge_is_told_and_so_is_who_comes_early_as_another_failed():
    told: list[Event] = []
    configs = {"slow": shell("sleep 600"), "broken": shell("exit 7"), "fast": shell("echo hi")}
    async with registry_of(told, **configs) as registry:
        await registry.race("hello", ["slow", "fast"], stagger=0.05)
        await registry.race("hello", ["broken", "fast"], stagger=600)
    (hedge,) = of_type(told, HedgeStarted)
    assert hedge.service == "fast"
    assert hedge.after >= 0.05
    (move,) = of_type(told, FailedOver)
    assert (move.origin, move.service, move.call) == ("broken", "fast", told[-1].call)
    assert move.reason.startswith("crashed")
    check_pairs(told)


async def test_a_fan_out_is_a_call_for_each_service():
    told: list[Event] = []
    async with registry_of(told, one=shell("echo hi"), two=shell("exit 7")) as registry:
        await registry.execute_parallel(["one", "two", "nobody"], "hello")
    assert sorted(event.service for event in of_type(told, CallStarted)) == ["one", "two"]
    assert len({event.call for event in of_type(told, CallStarted)}) == 2
    pairs = {(event.call, event.service) for event in told if hasattr(event, "call")}
    assert len(pairs) == 2
    check_pairs(told)


async def test_a_stream_that_is_left_early_ends_too():
    told: list[Event] = []
    registry = registry_of(told, svc=shell("echo hi; sleep 600"))
    async with registry, registry.stream("svc", "hello"):
        await anyio.sleep(0.2)
    assert of_type(told, CallStarted)[0].operation == "stream"
    assert of_type(told, AttemptStarted)
    check_pairs(told)


@pytest.mark.parametrize("how", ["execute", "failover", "race", "parallel", "waiting"])
@pytest.mark.parametrize("way", ["scope", "task", "wait_for"])
async def test_what_is_cancelled_ends_too(how: str, way: str):
    told: list[Event] = []
    configs = {"one": shell("sleep 600"), "two": shell("sleep 600", quota_limits={"rpm": 1})}

    async def call(registry: ServiceRegistry) -> None:
        match how:
            case "execute":
                await registry.execute("one", "hello")
            case "failover":
                await registry.execute_with_failover("hello")
            case "race":
                await registry.race("hello", ["one", "one", "two"])
            case "parallel":
                await registry.execute_parallel(["one", "two"], "hello")
            case _:
                async with anyio.create_task_group() as group:
                    for _ in range(2):  # the second waits for its quota
                        group.start_soon(partial(registry.execute, "two", "hello", deadline=None))

    async with registry_of(told, **configs) as registry:
        if way == "scope":
            with anyio.move_on_after(0.2):
                await call(registry)
        elif way == "task":
            task = asyncio.create_task(call(registry))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call(registry), 0.2)
        finished = of_type(told, CallFinished)
        assert finished
        assert all(isinstance(event.error, asyncio.CancelledError) for event in finished)
    assert of_type(told, AttemptStarted)
    check_pairs(told)


async def test_a_breaker_tells_of_every_change():
    told: list[Event] = []
    breaker = BreakerPolicy(consecutive=2, opening=0.05)
    async with registry_of(told, svc=shell("exit 7", breaker=breaker)) as registry:
        for _ in range(2):
            await registry.execute("svc", "hello")
        await anyio.sleep(0.1)
        await registry.execute("svc", "hello")
    changes = [(event.before, event.after) for event in of_type(told, BreakerChanged)]
    assert changes == [
        (BreakerState.CLOSED, BreakerState.OPEN),
        (BreakerState.OPEN, BreakerState.HALF_OPEN),
        (BreakerState.HALF_OPEN, BreakerState.OPEN),
    ]


async def test_a_new_health_is_told_of_a_call_and_of_a_check():
    told: list[Event] = []
    async with registry_of(told, svc=shell("echo hi")) as registry:
        registry.register("gone", ServiceConfig("gone", "no-such-tool"))
        await registry.execute("svc", "hello")
        await registry.health_check("gone")
    changes = [(e.service, e.before, e.after) for e in of_type(told, HealthChanged)]
    assert changes == [
        ("svc", HealthStatus.UNKNOWN, HealthStatus.HEALTHY),
        ("gone", HealthStatus.UNKNOWN, HealthStatus.UNHEALTHY),
    ]


async def test_a_new_level_of_a_quota_is_told():
    told: list[Event] = []
    async with ServiceRegistry(":memory:", on_event=told.append) as registry:
        registry.register("echo", CONFIG)
        for _ in range(5):
            await registry.execute("echo", "hello")
    levels = [(e.service, e.before, e.after) for e in told if isinstance(e, QuotaLevelChanged)]
    assert levels == [
        ("echo", QuotaLevel.HEALTHY, QuotaLevel.WARNING),
        ("echo", QuotaLevel.WARNING, QuotaLevel.CRITICAL),
    ]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_hook_that_raises_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture, error: type[BaseException]
):
    def hook(_: Event) -> None:
        raise error("my mistake")

    async with ServiceRegistry(":memory:", on_event=hook) as registry:
        registry.register("echo", CONFIG)
        registry.register("broken", shell("exit 7"))
        registry.register("free", shell("echo hi"))
        results = [await registry.execute("echo", "hello") for _ in range(5)]
        assert (await registry.race("hello", ["broken", "free"])).success
        assert (await registry.execute_with_failover("hello", services=["broken", "free"])).success
    assert all(result.success for result in results)
    assert "my mistake" in caplog.text


async def test_what_a_hook_raises_puts_no_answer_into_the_log(caplog: pytest.LogCaptureFixture):
    def hook(_: Event) -> None:
        raise ValueError

    caplog.set_level(logging.DEBUG)
    async with ServiceRegistry(":memory:", on_event=hook) as registry:
        registry.register("echo", CONFIG)
        await registry.execute("echo", "a confidential prompt")
    assert "AttemptFinished of echo" in caplog.text
    assert "confidential" not in caplog.text


async def test_a_hook_may_end_the_program():
    def hook(_: Event) -> None:
        raise SystemExit(3)

    events = Events(hook)
    with pytest.raises(SystemExit):
        events.emit(Event(service="svc", at=0.0))


def test_an_async_hook_is_refused_at_once():
    async def hook(_: Event) -> None: ...

    class Hook:
        async def __call__(self, _: Event) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        ServiceRegistry(":memory:", on_event=hook)
    with pytest.raises(TypeError, match="plain function"):
        ServiceRegistry(":memory:", on_event=Hook())
    with pytest.raises(TypeError, match="plain function"):
        Events(hook="print")


async def test_several_hooks_are_one_function(tmp_path: Path):
    one: list[Event] = []
    two: list[Event] = []

    def both(event: Event) -> None:
        one.append(event)
        two.append(event)

    async with ServiceRegistry(tmp_path / "state.db", on_event=both) as registry:
        registry.register("echo", CONFIG)
        await registry.execute("echo", "hello")
    assert one == two != []


async def test_a_service_without_limits_that_asks_for_rest_is_told_of_too():
    told: list[Event] = []
    async with ServiceRegistry(":memory:", on_event=told.append) as registry:
        script = "echo 429 retry in 30 s >&2; exit 1"
        config = ServiceConfig("svc", "sh", command_template=f"sh -c '{script}'", retry=None)
        registry.register("svc", config)
        await registry.execute("svc", "hello")
    levels = [event.after for event in told if isinstance(event, QuotaLevelChanged)]
    assert levels == [QuotaLevel.CRITICAL]
