"""The scripted service: whatever its script says comes out of the real layers."""

import time
from functools import partial

import anyio
import pytest

from leyline import (
    FailedOver,
    Failure,
    FailureKind,
    HealthStatus,
    QuotaExceededError,
    RegistryClosedError,
    ServiceExistsError,
    ServiceRegistry,
    SpawnError,
    TextDelta,
    Usage,
)
from leyline.testing import (
    VIRTUAL_BACKEND,
    VIRTUAL_CLOCK,
    Asked,
    RateLimit,
    ScriptedService,
    run_virtual,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


@pytest.fixture
async def registry():
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        yield registry


NO_RETRY = {"retry": None, "breaker": None}


async def test_it_answers_with_the_prompt_unless_told_otherwise(registry: ServiceRegistry):
    ScriptedService("echo").register(registry)
    ScriptedService("same", text="always this").register(registry)
    ScriptedService("loud", text=lambda asked: asked.prompt.upper()).register(registry)
    said = {name: (await registry.execute(name, "hello")).text for name in registry.services}
    assert said == {"echo": "hello", "same": "always this", "loud": "HELLO"}


@pytest.mark.parametrize(
    ("latency", "least", "most"),
    [(3.0, 3.0, 3.0), ((1.0, 2.0), 1.0, 2.0), (lambda asked: len(asked.prompt) * 1.0, 5.0, 5.0)],
)
async def test_a_run_takes_as_long_as_the_script_says(
    registry: ServiceRegistry, latency, least: float, most: float
):
    ScriptedService("svc", latency=latency).register(registry)
    took = [(await registry.execute("svc", "hello")).duration for _ in range(5)]
    assert least <= min(took) <= max(took) <= most
    assert anyio.current_time() == pytest.approx(sum(took))


async def test_the_same_seed_is_the_same_script():
    async def draw(seed: int) -> list[float]:
        async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
            ScriptedService("svc", latency=(0.0, 9.0), seed=seed).register(registry)
            return [(await registry.execute("svc", "x")).duration for _ in range(4)]

    assert await draw(1) == pytest.approx(await draw(1))
    assert await draw(1) != pytest.approx(await draw(2))


async def test_failures_come_one_after_the_other(registry: ServiceRegistry):
    failure = Failure(kind=FailureKind.QUOTA_EXHAUSTED, message="gone", retry_after=5.0)
    svc = ScriptedService("svc", failures=["auth", None, failure], **NO_RETRY)
    svc.register(registry)
    results = [await registry.execute("svc", "x") for _ in range(4)]
    assert [r.failure and r.failure.kind for r in results] == [
        FailureKind.AUTH, None, FailureKind.QUOTA_EXHAUSTED, None,
    ]  # fmt: skip
    assert results[2].failure is failure
    assert anyio.current_time() == pytest.approx(5, abs=0.1)  # the last waited as it was told


async def test_failures_come_with_their_probability(registry: ServiceRegistry):
    svc = ScriptedService("svc", failures={"server": 0.2, "auth": 0.3}, **NO_RETRY)
    svc.register(registry)
    results = [await registry.execute("svc", "x") for _ in range(1000)]
    kinds = [result.failure and result.failure.kind for result in results]
    assert 150 < kinds.count(FailureKind.SERVER) < 250
    assert 250 < kinds.count(FailureKind.AUTH) < 350


async def test_failures_may_depend_on_what_is_asked(registry: ServiceRegistry):
    def outcome(asked: Asked) -> FailureKind | None:
        return FailureKind.SERVER if asked.attempt < 3 else None

    ScriptedService("svc", failures=outcome).register(registry)
    assert (await registry.execute("svc", "x")).attempts == 3


async def test_a_mistake_in_the_script_is_told(registry: ServiceRegistry):
    with pytest.raises(ValueError, match="slow"):
        ScriptedService("svc", failures={"slow": 1.0})
    with pytest.raises(TypeError, match="latenzy"):
        ScriptedService("svc", latenzy=1.0)
    with pytest.raises(ValueError, match="runs"):
        RateLimit(0)
    ScriptedService("svc", text=lambda asked: 1 / 0).register(registry)
    with pytest.raises(ZeroDivisionError):
        await registry.execute("svc", "x")
    with pytest.raises(ServiceExistsError):
        ScriptedService("svc").register(registry)


async def test_nothing_may_be_started_at_all(registry: ServiceRegistry):
    ScriptedService("svc", failures=[SpawnError("svc", "no memory")], **NO_RETRY).register(registry)
    with pytest.raises(SpawnError):
        await registry.execute("svc", "x")
    assert (await registry.execute("svc", "x")).success


async def test_a_blank_answer_is_a_failure(registry: ServiceRegistry):
    ScriptedService("svc", text=" \n", **NO_RETRY).register(registry)
    result = await registry.execute("svc", "x")
    assert result.failure is not None
    assert result.failure.kind is FailureKind.EMPTY


async def test_what_takes_too_long_is_timed_out(registry: ServiceRegistry):
    ScriptedService("svc", latency=600.0, pieces=4).register(registry)
    result = await registry.execute("svc", "x", timeout=20)
    assert result.failure is not None
    assert (result.failure.kind, result.exit_code) == (FailureKind.TIMEOUT, -1)
    assert result.duration == pytest.approx(20)


async def test_its_own_rate_limit_counts_as_a_provider_would(registry: ServiceRegistry):
    svc = ScriptedService("svc", rate_limit=RateLimit(3, per=10.0), **NO_RETRY)
    svc.register(registry)
    results = [await registry.execute("svc", str(n), deadline=0.5) for n in range(3)]
    assert all(result.success for result in results)
    await anyio.sleep(4)
    refused = await registry.execute("svc", "x")
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.RATE_LIMITED
    assert refused.failure.retry_after == pytest.approx(6)
    with pytest.raises(QuotaExceededError):  # the registry has heard it
        await registry.execute("svc", "x", deadline=3)
    await anyio.sleep(6.1)
    assert (await registry.execute("svc", "x")).success
    assert (svc.runs, svc.refused) == (5, 1)


async def test_a_quota_that_holds_is_never_refused(registry: ServiceRegistry):
    svc = ScriptedService("svc", rate_limit=RateLimit(60), quota_limits={"rpm": 60})
    svc.register(registry)
    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(partial(registry.execute, "svc", "x", deadline=None))
    assert (svc.runs, svc.refused) == (200, 0)


async def test_tokens_are_reported_and_charged(registry: ServiceRegistry):
    ScriptedService("said", usage=Usage(total_tokens=500, measured=True)).register(registry)
    ScriptedService("guessed", text="x" * 420, quota_limits={"tpm": 1000}).register(registry)
    assert (await registry.execute("said", "x")).tokens_used == 500
    guessed = await registry.execute("guessed", "y" * 42)
    assert (guessed.usage.input_tokens, guessed.usage.output_tokens) == (10, 100)
    assert (await registry.quota_status("guessed")).limits[0].used == 110


async def test_an_answer_is_streamed_in_pieces(registry: ServiceRegistry):
    ScriptedService("svc", text="abcdefgh", pieces=4, latency=8.0).register(registry)
    async with registry.stream("svc", "x") as stream:
        heard = [
            (event.text, anyio.current_time())
            async for event in stream
            if isinstance(event, TextDelta)
        ]
    assert heard == [("ab", 2), ("cd", 4), ("ef", 6), ("gh", 8)]
    assert stream.result is not None
    assert stream.result.text == "abcdefgh"


async def test_what_stands_around_a_process_stands_around_it(registry: ServiceRegistry):
    svc = ScriptedService(
        "svc", latency=1.0, failures={"crashed": 1.0}, quota_limits={"concurrent": 2}
    )
    svc.register(registry)
    assert registry.pipeline("svc") == (
        "retry", "breaker", "concurrency", "quota", "record", "timeout", "run",
    )  # fmt: skip
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(registry.execute, "svc", "x")
    assert svc.most == 2
    assert registry.health("svc").status is HealthStatus.UNHEALTHY


async def test_files_and_models_reach_the_script(registry: ServiceRegistry, tmp_path):
    seen: list[Asked] = []

    def text(asked: Asked) -> str:
        seen.append(asked)
        return "done"

    ScriptedService("svc", text=text, files_via="inline", default_model="m").register(registry)
    file = tmp_path / "file.txt"
    file.write_text("inside")
    await registry.execute("svc", "look", [file])
    await registry.execute("svc", "look", model="other")
    assert "inside" in seen[0].prompt
    assert [(asked.number, asked.model) for asked in seen] == [(0, "m"), (1, "other")]


async def test_cancelling_a_call_ends_its_run(registry: ServiceRegistry):
    svc = ScriptedService("svc", latency=100.0)
    svc.register(registry)
    with anyio.move_on_after(5):
        await registry.execute("svc", "x")
    assert (svc.runs, svc.in_flight) == (1, 0)


async def test_a_closed_registry_starts_none(registry: ServiceRegistry):
    svc = ScriptedService("svc")
    svc.register(registry)
    await registry.aclose()
    with pytest.raises(RegistryClosedError):
        await registry.execute("svc", "x")
    assert svc.runs == 0


async def test_it_is_healthy_as_it_stands(registry: ServiceRegistry):
    ScriptedService("svc").register(registry)
    assert await registry.health_check("svc")
    assert await registry.health_check("svc", live=True)


async def test_an_outage_is_failed_over_from():
    events = []
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK, on_event=events.append) as registry:
        ScriptedService("a", failures={"server": 1.0}).register(registry)
        ScriptedService("b").register(registry)
        result = await registry.execute_with_failover("x")
    assert result.service == "b"
    assert [event.origin for event in events if isinstance(event, FailedOver)] == ["a"]


def test_a_hundred_thousand_calls_are_cheap():
    async def main() -> int:
        async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
            svc = ScriptedService("svc", latency=(0.5, 2.0))
            svc.register(registry)
            calls = iter(range(10_000))

            async def work() -> None:
                for _ in calls:
                    await registry.execute("svc", "x")

            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(work)
            return svc.runs

    began = time.process_time()
    assert run_virtual(main) == 10_000
    assert time.process_time() - began < 20  # a tenth of them; some 2 s


def test_it_runs_in_real_time_too():
    async def main() -> float:
        async with ServiceRegistry(":memory:") as registry:
            ScriptedService("svc", latency=0.05).register(registry)
            return (await registry.execute("svc", "x")).duration

    assert 0.05 <= anyio.run(main) < 5
