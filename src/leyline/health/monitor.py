"""Checks of many services: all at once, and again and again."""

import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import anyio

from leyline.clock import Clock
from leyline.errors import (
    CommandNotFoundError,
    LeylineError,
    RegistryClosedError,
    SpawnError,
)
from leyline.gather import gather
from leyline.health.schedule import Schedule
from leyline.health.wording import reason_of
from leyline.model import HealthReport, HealthStatus

CheckOne = Callable[[str], Awaitable[HealthReport]]

_log = logging.getLogger(__name__)


async def check_all(
    names: Sequence[str],
    check_one: CheckOne,
    *,
    limit: int = 64,
    on_report: Callable[[HealthReport], None] | None = None,
) -> dict[str, HealthReport]:
    """Check every service at the same time; the reports in the order of *names*.

    A check that raises LeylineError becomes a report with the reason. RegistryClosedError, and
    any other exception, ends all checks and is raised as itself. Cancellation cancels all checks.

    limit: Checks at the same time. on_report: Called with each report as it comes.
    """
    slots = anyio.CapacityLimiter(limit)

    async def check(name: str) -> HealthReport:
        async with slots:
            report = await _reported(name, check_one)
        if on_report is not None:
            on_report(report)
        return report

    return await gather({name: functools.partial(check, name) for name in names})


async def _reported(name: str, check_one: CheckOne) -> HealthReport:
    try:
        return await check_one(name)
    except RegistryClosedError:
        raise
    except LeylineError as error:
        own_fault = isinstance(error, SpawnError)  # which says nothing of the service
        return HealthReport(
            service=name,
            status=HealthStatus.UNKNOWN if own_fault else HealthStatus.UNHEALTHY,
            installed=False if isinstance(error, CommandNotFoundError) else None,
            reason=reason_of(error),
        )


async def monitor(
    names: Callable[[], Sequence[str]],
    check_one: CheckOne,
    *,
    interval: float,
    jitter: float = 0.2,
    rng: Random,
    clock: Clock,
) -> None:
    """Check every service again and again, until cancelled; what fails, with growing delays.

    A check that raises counts as failed and stops nothing. Each service has at most one check
    under way, and a slow one delays no other. *names* is asked again each *interval*: new
    services join then, and those no longer named leave before their next check.

    interval: Seconds from the end of a check to the start of the next, varied by *jitter*.
    """
    watched: set[str] = set()

    async def watch(name: str) -> None:
        schedule = Schedule(interval=interval, jitter=jitter, rng=rng)
        delay = schedule.first()
        while True:
            await clock.sleep(delay)
            if name not in names():
                break
            delay = schedule.after(usable=await _survived(name, check_one))
        watched.discard(name)

    async with anyio.create_task_group() as group:
        while True:
            for name in names():
                if name not in watched:
                    watched.add(name)
                    group.start_soon(watch, name)
            await clock.sleep(interval)


async def _survived(name: str, check_one: CheckOne) -> bool:
    try:
        return bool(await check_one(name))
    except LeylineError:
        return False
    except Exception:
        _log.exception("the health check of %s failed; it will be tried again", name)
        return False
