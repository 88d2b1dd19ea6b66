"""``leyline health``: which services can be used, and why not."""

import functools
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import attrs
import typer

from leyline.cli import options, output, tables
from leyline.cli.exits import CommandLineError, ExitCode
from leyline.cli.fleet import Fleet
from leyline.cli.interrupts import run_until_interrupted
from leyline.cli.tables import Cell
from leyline.health import check_all
from leyline.model import HealthReport, HealthStatus
from leyline.service_registry import ServiceRegistry

if TYPE_CHECKING:
    from rich.console import Group

_HEADERS: Final = (
    "service", "status", "installed", "version", "authenticated", "reason", "seconds",
)  # fmt: skip
_REASON: Final = _HEADERS.index("reason")
_WIDE: Final = 120
"""Columns of a terminal from which on the reasons fit into the table."""

_STYLES: Final = {
    HealthStatus.HEALTHY: "green",
    HealthStatus.DEGRADED: "yellow",
    HealthStatus.UNHEALTHY: "red",
    HealthStatus.UNKNOWN: "dim",
}
_ANSWERS: Final[Mapping[bool | None, str]] = {True: "yes", False: "no", None: ""}


def health(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Default: all.", show_default=False),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also send a real prompt, which costs what one costs.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up on a check after this time."),
    ] = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Check services, all at the same time. Exit code 1 if one of them cannot be used."""
    if timeout is not None and not timeout > 0:
        raise CommandLineError(f"a timeout must be a positive number of seconds, got {timeout:g}")
    fleet = Fleet.find(config, names=names or ())
    chosen = tuple(dict.fromkeys(names or fleet.registry.services))
    fleet.require()
    for name in chosen:
        fleet.check(name)
    reports: dict[str, HealthReport] = {}
    on_terminal = output.is_terminal() and not as_json
    with _live_table(chosen, reports) if on_terminal else nullcontext():
        check = functools.partial(_check, fleet.registry, chosen, live, timeout, reports)
        run_until_interrupted(check)
    in_order = [reports[name] for name in chosen]
    if as_json:
        output.write_json([attrs.asdict(report) | {"usable": bool(report)} for report in in_order])
    elif not on_terminal:
        output.write(tables.plain_table(_HEADERS, map(_row, in_order)))
    return ExitCode.OK if all(in_order) else ExitCode.FAILED


async def _check(
    registry: ServiceRegistry,
    names: Sequence[str],
    live: bool,
    timeout: float | None,
    reports: dict[str, HealthReport],
) -> None:
    async def check_one(name: str) -> HealthReport:
        with anyio.move_on_after(timeout):
            return await registry.health_check(name, live=live)
        reason = f"the check took longer than {timeout:g} s"
        return HealthReport(
            service=name,
            status=HealthStatus.UNHEALTHY,
            reason=reason,
            checked_at=time.time(),
            duration=timeout or 0.0,
        )

    def keep(report: HealthReport) -> None:
        reports[report.service] = report

    async with registry:
        await check_all(names, check_one, on_report=keep)


def _live_table(
    names: Sequence[str], reports: Mapping[str, HealthReport]
) -> AbstractContextManager[object]:
    """A table on the terminal that follows *reports* as they come in."""
    from rich.live import Live  # slow, and only for a terminal

    started = time.monotonic()

    def draw() -> "Group":
        seconds = time.monotonic() - started
        return _drawn([_row(reports[n]) if n in reports else _waiting(n, seconds) for n in names])

    return Live(get_renderable=draw, refresh_per_second=8)


def _drawn(rows: Sequence[tables.Row]) -> "Group":
    """The table; on a narrow terminal with the reasons below it."""
    if shutil.get_terminal_size().columns >= _WIDE:
        return tables.drawing(_HEADERS, rows)
    short = [(*row[:_REASON], Cell(""), *row[_REASON + 1 :]) for row in rows]
    reasons = [f"{row[0].text}: {row[_REASON].text}" for row in rows if row[_REASON].text]
    return tables.drawing(_HEADERS, short, reasons)


def _row(report: HealthReport) -> tuple[Cell, ...]:
    return (
        Cell(report.service),
        Cell(report.status, _STYLES[report.status]),
        Cell(_ANSWERS[report.installed]),
        Cell(report.version),
        Cell(_ANSWERS[report.authenticated]),
        Cell(report.reason),
        Cell(f"{report.duration:.1f}"),
    )


def _waiting(name: str, seconds: float) -> tuple[Cell, ...]:
    return (
        Cell(name), Cell("checking", "dim"), Cell(""), Cell(""), Cell(""), Cell(""),
        Cell(f"{seconds:.1f}", "dim"),
    )  # fmt: skip
