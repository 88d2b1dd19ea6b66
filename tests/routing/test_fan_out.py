"""The same call on several services: one result each, whatever comes of it."""

import anyio
import pytest

from leyline.errors import (
    CommandNotFoundError,
    InvalidCallError,
    LeylineError,
    RegistryClosedError,
    ServiceNotFoundError,
    SpawnError,
)
from leyline.model import ExecutionResult, FailureKind
from leyline.routing import fan_out
from tests.virtual import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


async def test_all_run_at_the_same_time_and_results_keep_the_order_asked():
    delays = {"slow": 30.0, "fast": 1.0, "middle": 5.0}

    async def attempt(service: str) -> ExecutionResult:
        await anyio.sleep(delays[service])
        return ExecutionResult(service=service, success=True)

    began = anyio.current_time()
    results = await fan_out(["slow", "fast", "middle", "fast"], attempt)
    assert anyio.current_time() - began == pytest.approx(30.0)
    assert list(results) == ["slow", "fast", "middle"]
    assert all(results[name].service == name for name in delays)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServiceNotFoundError("x"), FailureKind.NOT_FOUND),
        (CommandNotFoundError("x", "gone"), FailureKind.NOT_FOUND),
        (InvalidCallError("x", "wrong"), FailureKind.BAD_REQUEST),
        (SpawnError("x", "no memory"), FailureKind.CRASHED),
        (RegistryClosedError(), FailureKind.CANCELLED),
    ],
)
async def test_what_could_not_start_is_a_result_without_attempts(
    error: LeylineError, kind: FailureKind
):
    async def attempt(service: str) -> ExecutionResult:
        if service == "x":
            raise error
        await anyio.sleep(1)
        return ExecutionResult(service=service, success=True)

    results = await fan_out(["x", "good"], attempt)
    assert results["good"].success
    failed = results["x"]
    assert (failed.success, failed.attempts, failed.service) == (False, 0, "x")
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.message) == (kind, str(error))


async def test_a_bug_is_raised_as_itself_and_stops_the_others():
    stopped: list[str] = []

    async def attempt(service: str) -> ExecutionResult:
        if service == "bug":
            raise ZeroDivisionError
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(service)
        raise AssertionError

    with pytest.raises(ZeroDivisionError):
        await fan_out(["a", "bug", "b"], attempt)
    assert sorted(stopped) == ["a", "b"]


async def test_no_services_give_no_results():
    async def attempt(service: str) -> ExecutionResult:
        raise AssertionError(service)

    assert await fan_out([], attempt) == {}


async def test_a_quorum_ends_it_and_the_others_say_that_they_were_stopped():
    stopped: list[str] = []

    async def attempt(service: str) -> ExecutionResult:
        try:
            await anyio.sleep({"a": 0.05, "b": 0.02, "c": 60.0, "d": 0.01}[service])
        except BaseException:
            stopped.append(service)
            raise
        return ExecutionResult(service=service, success=service != "d")

    results = await fan_out(["a", "b", "c", "d"], attempt, quorum=2)
    assert list(results) == ["a", "b", "c", "d"]
    assert [name for name, result in results.items() if result.success] == ["a", "b"]
    assert stopped == ["c"]
    failure = results["c"].failure
    assert failure is not None
    assert (failure.kind, results["c"].attempts) == (FailureKind.CANCELLED, 0)


async def test_a_quorum_that_cannot_be_reached_waits_for_all():
    async def attempt(service: str) -> ExecutionResult:
        return ExecutionResult(service=service, success=service == "a")

    results = await fan_out(["a", "b"], attempt, quorum=2)
    assert [result.success for result in results.values()] == [True, False]
