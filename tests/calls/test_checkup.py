"""The monitor of a registry: in virtual time, with checks that only count."""

from random import Random

import anyio
import pytest

from leyline.calls import Checkup, Roster
from leyline.events import Events
from leyline.model import HealthReport, HealthStatus
from tests.calls.scripted import Scripted, script
from tests.virtual import VIRTUAL_BACKEND, VIRTUAL_CLOCK

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


async def test_a_monitor_that_is_started_again_takes_the_place_of_the_first():
    roster, checked = Roster(), list[float]()
    roster.add(Scripted(tool=script([None])).service, replace=False)
    checkup = Checkup(roster, VIRTUAL_CLOCK, Events())

    async def check(name: str) -> HealthReport:
        checked.append(anyio.current_time())
        return HealthReport(service=name, status=HealthStatus.HEALTHY)

    async def monitor(interval: float) -> None:
        await checkup.monitor(check, interval=interval, rng=Random(1))

    async with anyio.create_task_group() as group:
        group.start_soon(monitor, 1.0)
        await anyio.sleep(10)
        group.start_soon(monitor, 100.0)
        await anyio.sleep(1000)
        group.cancel_scope.cancel()
    assert 7 <= sum(at <= 10 for at in checked) <= 13
    assert 7 <= sum(at > 10 for at in checked) <= 13  # both: more than a thousand
