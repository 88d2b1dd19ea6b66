"""``leyline quota``: how much of each quota is used, and when it is free again."""

from collections.abc import Sequence
from typing import Annotated, Final

import anyio
import typer

from leyline.cli import options, output, tables
from leyline.cli.exits import ExitCode
from leyline.cli.fleet import Fleet
from leyline.cli.tables import Cell
from leyline.limits import QuotaLevel
from leyline.quota import QuotaStatus
from leyline.service_registry import ServiceRegistry

_HEADERS: Final = ("service", "limit", "used", "of", "waiting", "bar", "level", "frees in")
_BAR: Final = 10
_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_STYLES: Final = {
    QuotaLevel.HEALTHY: "green",
    QuotaLevel.WARNING: "yellow",
    QuotaLevel.CRITICAL: "red",
}


def quota(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Default: all that have one.", show_default=False),
    ] = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Show how much of the quotas is used, by all programs that share them."""
    fleet = Fleet.find(config, names=names or ())
    for name in names or ():
        fleet.check(name)
    chosen = names or [n for n, s in fleet.registry.services.items() if s.quota_limits]
    found = anyio.run(_look, fleet.registry, tuple(dict.fromkeys(chosen)))
    if as_json:
        output.write_json(found)
        return ExitCode.OK
    rows = [row for status in found for row in _rows(status)]
    if rows and output.is_terminal():
        tables.show_on_terminal(_HEADERS, rows, [])
    elif rows:
        output.write(tables.plain_table(_HEADERS, rows))
    else:
        output.note("no service has a quota; give it one under quota_limits, such as rpm: 60")
    return ExitCode.OK


async def _look(registry: ServiceRegistry, names: Sequence[str]) -> list[QuotaStatus]:
    async with registry:
        return [await registry.quota_status(name) for name in names]


def _rows(status: QuotaStatus) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = [
        (
            Cell(status.service, "bold"),
            Cell(use.name),
            Cell(f"{use.used:,}"),
            Cell(f"{use.amount:,}"),
            Cell(f"{use.waiting:,}"),
            Cell(_bar(use.used, use.amount), _STYLES[use.level]),
            Cell(use.level, _STYLES[use.level]),
            Cell("" if use.frees_in is None else duration(use.frees_in)),
        )
        for use in status.limits
    ]
    if status.closed_for > 0:
        closed = Cell("closed", _STYLES[QuotaLevel.CRITICAL])
        why = Cell(status.reason)
        rows.append(
            (Cell(status.service, "bold"), closed, why, Cell(""), Cell(""), Cell(""),
             Cell(status.level), Cell(duration(status.closed_for)))
        )  # fmt: skip
    return rows


def _bar(used: int, amount: int) -> str:
    full = min(_BAR, round(used / amount * _BAR))
    return "#" * full + "." * (_BAR - full)


def duration(seconds: float) -> str:
    """A length of time as people write it, to two units: ``1h 05m``."""
    whole = max(1, round(seconds))
    for name, size, below, part in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size}{name} {whole % size // part:02d}{below}"
    return f"{whole}s"
