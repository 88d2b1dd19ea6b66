"""Checks of many services: all at once, and again and again, in virtual time."""

import functools
from collections import Counter
from random import Random

import anyio
import pytest

from leyline.errors import (
    CommandNotFoundError,
    InvalidCallError,
    RegistryClosedError,
    SpawnError,
)
from leyline.health import check_all, monitor
from leyline.model import HealthReport, HealthStatus
from tests.virtual import VIRTUAL_BACKEND, VIRTUAL_CLOCK

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


def healthy(name: str) -> HealthReport:
    return HealthReport(service=name, status=HealthStatus.HEALTHY)


class Checks:
    """Checks that take *seconds*, count, and fail for the services in *broken*."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.times: dict[str, list[float]] = {}
        self.broken: set[str] = set()
        self.under_way: Counter[str] = Counter()
        self.most: dict[str, int] = {}
        self.most_in_all = 0
        self._seconds = seconds
        self._error = error

    async def __call__(self, name: str) -> HealthReport:
        self.times.setdefault(name, []).append(anyio.current_time())
        self.under_way[name] += 1
        self.most[name] = max(self.most.get(name, 0), self.under_way[name])
        self.most_in_all = max(self.most_in_all, self.under_way.total())
        try:
            await anyio.sleep(self._seconds)
        finally:
            self.under_way[name] -= 1
        if name in self.broken:
            if self._error is not None:
                raise self._error
            return HealthReport(service=name, status=HealthStatus.UNHEALTHY)
        return healthy(name)


NAMES = [f"s{number}" for number in range(50)]


async def test_fifty_checks_of_a_second_take_a_second_and_keep_their_order():
    reports = await check_all(NAMES, Checks(1.0))
    assert anyio.current_time() == pytest.approx(1.0)
    assert list(reports) == NAMES
    assert reports["s7"] == healthy("s7")


async def test_no_more_checks_run_at_the_same_time_than_the_limit():
    checks = Checks(1.0)
    await check_all(NAMES, checks, limit=10)
    assert checks.most_in_all == 10
    assert anyio.current_time() == pytest.approx(5.0)


async def test_reports_are_handed_on_as_they_come():
    seen: list[tuple[str, float]] = []

    async def check(name: str) -> HealthReport:
        await anyio.sleep({"slow": 9.0, "quick": 1.0}[name])
        return healthy(name)

    await check_all(
        ["slow", "quick"],
        check,
        on_report=lambda report: seen.append((report.service, anyio.current_time())),
    )
    assert seen == [("quick", pytest.approx(1.0)), ("slow", pytest.approx(9.0))]


async def test_a_service_named_twice_is_checked_once():
    checks = Checks()
    assert list(await check_all(["b", "a", "b"], checks)) == ["b", "a"]
    assert len(checks.times["b"]) == 1


@pytest.mark.parametrize(
    ("error", "status", "installed"),
    [
        (CommandNotFoundError("b", "no such command"), HealthStatus.UNHEALTHY, False),
        (InvalidCallError("b", "cannot be called so"), HealthStatus.UNHEALTHY, None),
        (SpawnError("b", "too many open files"), HealthStatus.UNKNOWN, None),
    ],
)
async def test_a_check_that_raises_becomes_a_report(error, status, installed):
    checks = Checks(error=error)
    checks.broken.add("b")
    reports = await check_all(["a", "b", "c"], checks)
    assert (reports["a"], reports["c"]) == (healthy("a"), healthy("c"))
    assert (reports["b"].status, reports["b"].installed) == (status, installed)
    assert reports["b"].reason == error.reason


@pytest.mark.parametrize("error", [RegistryClosedError(), ZeroDivisionError()])
async def test_what_is_no_finding_ends_all_checks_and_is_raised_as_itself(error):
    async def check(name: str) -> HealthReport:
        await anyio.sleep(1.0 if name == "b" else 100.0)
        raise error

    with pytest.raises(type(error)):
        await check_all(["a", "b", "c"], check)
    assert anyio.current_time() == pytest.approx(1.0)


async def test_cancelling_cancels_all_checks():
    checks = Checks(100.0)
    with anyio.move_on_after(1.0):
        await check_all(NAMES, checks)
    assert checks.under_way.total() == 0
    assert anyio.current_time() == pytest.approx(1.0)


async def watch(names, check, seconds: float, *, jitter: float = 0.0) -> None:
    """Run the monitor for so long."""
    async with anyio.create_task_group() as group:
        group.start_soon(
            functools.partial(
                monitor,
                names,
                check,
                interval=60.0,
                jitter=jitter,
                rng=Random(1),
                clock=VIRTUAL_CLOCK,
            )
        )
        await anyio.sleep(seconds)
        group.cancel_scope.cancel()


async def test_every_service_is_checked_an_interval_after_its_last_check_ended():
    checks = Checks(10.0)
    await watch(lambda: NAMES, checks, 205.0)
    assert set(checks.times) == set(NAMES)
    for times in checks.times.values():
        assert times == [pytest.approx(t) for t in (0.0, 70.0, 140.0)]


async def test_services_are_not_checked_in_step():
    checks = Checks()
    await watch(lambda: NAMES, checks, 600.0, jitter=0.2)
    firsts = {times[0] for times in checks.times.values()}
    assert len(firsts) == 50
    assert max(firsts) <= 12.0
    for times in checks.times.values():
        assert 9 <= len(times) <= 13


async def test_what_fails_is_asked_again_soon_and_then_less_and_less_often():
    checks = Checks()
    checks.broken.add("a")
    await watch(lambda: ["a", "b"], checks, 500.0)
    assert checks.times["a"] == [pytest.approx(t) for t in (0, 5, 15, 35, 75, 155, 315)]
    assert len(checks.times["b"]) == 9


@pytest.mark.parametrize("error", [SpawnError("a", "full"), ZeroDivisionError()])
async def test_a_check_that_raises_counts_as_failed_and_stops_nothing(error, caplog):
    checks = Checks(error=error)
    checks.broken.add("a")
    await watch(lambda: ["a", "b"], checks, 100.0)
    assert len(checks.times["a"]) == 5
    assert len(checks.times["b"]) == 2
    unexpected = isinstance(error, ZeroDivisionError)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 5 * unexpected


async def test_a_check_that_hangs_is_the_only_one_of_its_service_and_delays_no_other():
    async def check(name: str) -> HealthReport:
        return await (hanging if name == "slow" else quick)(name)

    hanging, quick = Checks(1000.0), Checks()
    await watch(lambda: ["slow", "quick"], check, 500.0)
    assert hanging.most["slow"] == 1
    assert len(hanging.times["slow"]) == 1
    assert len(quick.times["quick"]) == 9


async def test_new_services_join_and_those_that_left_are_not_checked_again():
    checks, names = Checks(), ["old"]

    async def change() -> None:
        await anyio.sleep(100.0)
        names[:] = ["new"]

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        await watch(lambda: tuple(names), checks, 400.0)
    assert checks.times["old"] == [pytest.approx(0.0), pytest.approx(60.0)]
    assert checks.times["new"][0] == pytest.approx(120.0)
    assert len(checks.times["new"]) == 5


async def test_a_service_that_left_and_came_back_is_watched_once():
    checks, names = Checks(), ["a"]

    async def change() -> None:
        await anyio.sleep(70.0)
        names.clear()
        await anyio.sleep(100.0)
        names.append("a")

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        await watch(lambda: tuple(names), checks, 470.0)
    assert checks.times["a"] == [
        pytest.approx(t) for t in (0.0, 60.0, 180.0, 240.0, 300.0, 360.0, 420.0)
    ]


async def test_the_monitor_ends_with_its_group_and_takes_its_checks_along():
    checks = Checks(1000.0)
    await watch(lambda: NAMES, checks, 10.0)
    assert checks.under_way.total() == 0
    assert anyio.current_time() == pytest.approx(10.0)
