"""``leyline services``: what there is to ask, and where from. Runs nothing."""

import os
from collections.abc import Sequence
from typing import Any, Final

from leyline.cli import options, output, tables
from leyline.cli.exits import ExitCode
from leyline.cli.fleet import Fleet
from leyline.cli.tables import Cell
from leyline.config import ServiceConfig
from leyline.errors import CommandNotFoundError
from leyline.program import find_program

_HEADERS: Final = ("name", "display name", "command", "auth", "model", "quota", "from")


def services(*, config: options.Config = None, as_json: options.Json = False) -> int:
    """Show the services there are. Nothing is run; health says whether they answer."""
    fleet = Fleet.find(config)
    described = [
        _describe(service, fleet.origins[name]) for name, service in fleet.registry.services.items()
    ]
    if as_json:
        output.write_json(described)
    elif output.is_terminal():
        _show(fleet, described)
    else:
        output.write(tables.plain_table(_HEADERS, map(_row, described)))
    if not described and not as_json:
        output.note(fleet.why_empty())
    return ExitCode.OK


def _show(fleet: Fleet, described: Sequence[dict[str, Any]]) -> None:
    """For a terminal: what needs a sentence, or is the same for all, stands below the table."""
    notes = [
        f"{service['name']}: {service['problem']}" for service in described if service["problem"]
    ]
    rows = [_row({**service, "problem": service["command"]}) for service in described]
    if fleet.file is not None and described:
        notes.append(f"from {fleet.file}")
        rows = [(*row[:-1], Cell("")) for row in rows]
    tables.show_on_terminal(_HEADERS, rows, notes)


def _describe(config: ServiceConfig, origin: str) -> dict[str, Any]:
    path, problem = _locate(config)
    variable = config.auth_env_var or None
    return {
        "name": config.name,
        "display_name": config.display_name or config.name,
        "command": config.command,
        "path": path,
        "problem": problem,
        "auth": {
            "method": config.auth_method,
            "variable": variable,
            "set": bool(os.environ.get(variable)) if variable else None,
        },
        "default_model": config.default_model or None,
        "models": config.models,
        "quota_limits": config.quota_limits,
        "from": origin,
    }


def _locate(config: ServiceConfig) -> tuple[str | None, str | None]:
    """Where the command is, or why it cannot be run."""
    try:
        return find_program(config.name, config.command, path=config.env.get("PATH")), None
    except CommandNotFoundError as error:
        return None, error.reason


def _row(service: dict[str, Any]) -> tuple[Cell, ...]:
    auth = service["auth"]
    words = str(auth["method"])
    if auth["variable"]:
        words += f", {auth['variable']} {'set' if auth['set'] else 'not set'}"
    limits = service["quota_limits"].items()
    return (
        Cell(service["name"], "bold"),
        Cell(service["display_name"]),
        Cell(service["path"] or service["problem"], "" if service["path"] else "red"),
        Cell(words, "yellow" if auth["set"] is False else ""),
        Cell(service["default_model"] or ""),
        Cell(", ".join(f"{name} {limit}" for name, limit in limits)),
        Cell(service["from"]),
    )
