"""``leyline explain``: which service would be chosen, and why not the others."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

import attrs
import typer

from leyline.cli import options, output, tables
from leyline.cli.exits import ExitCode
from leyline.cli.fleet import Fleet
from leyline.cli.interrupts import run_until_interrupted
from leyline.cli.quota import duration
from leyline.cli.tables import Cell
from leyline.gather import gather
from leyline.routing import Strategy, Verdict
from leyline.service_registry import ServiceRegistry

_HEADERS: Final = ("rank", "service", "score", "reason", "back in")
_LEARNED: Final = (Strategy.FASTEST, Strategy.CHEAPEST)


def _flag(name: str, words: str) -> Any:
    return typer.Option(f"--{name}", help=words)


def explain(
    *,
    large_context: Annotated[bool, _flag("large-context", "200,000 tokens fit into it.")] = False,
    fast_response: Annotated[bool, _flag("fast-response", "Prefer the fastest.")] = False,
    code_execution: Annotated[bool, _flag("code-execution", "It can execute code.")] = False,
    files: Annotated[bool, _flag("files", "It takes files.")] = False,
    streaming: Annotated[bool, _flag("streaming", "It streams.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="NAME", help="It offers this model.")
    ] = None,
    min_context: Annotated[
        int | None, typer.Option(metavar="TOKENS", help="At least so many fit into it.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(metavar="DOLLARS", help="At most, per million tokens.")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--service", "-s", metavar="NAME", help="Choose from these; repeatable."),
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="Which of those that fit comes first.")
    ] = Strategy.ORDERED,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Check the health of the services first.")
    ] = True,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Show which service would be chosen, and of each other why not, and until when."""
    fleet = Fleet.find(config, names=names or ())
    fleet.require()
    for name in names or ():
        fleet.check(name)
    requirements = {
        "large_context": large_context,
        "fast_response": fast_response,
        "code_execution": code_execution,
        "supports_files": files,
        "streaming": streaming,
        "model": model,
        "min_context": min_context,
        "max_cost": max_cost,
        "services": names or None,
    }
    weigh = functools.partial(fleet.registry.explain, requirements, strategy=strategy)
    weigh()  # what is wrong with the requirements is said before anything is checked
    look = functools.partial(_look, fleet.registry, tuple(names or fleet.registry.services), check)
    run_until_interrupted(look)
    verdicts = weigh()
    if as_json:
        output.write_json([attrs.asdict(verdict) for verdict in verdicts])
    else:
        _show(verdicts, _notes(requirements, strategy, checked=check))
    return _exit_code(verdicts)


async def _look(registry: ServiceRegistry, names: tuple[str, ...], check: bool) -> None:
    """Let *registry* see what it chooses by."""
    jobs: dict[str, Callable[[], Awaitable[object]]] = {}
    for name in names:
        if check:
            jobs[f"health of {name}"] = functools.partial(registry.health_check, name)
        if registry.services[name].quota_limits:
            jobs[f"quota of {name}"] = functools.partial(registry.quota_status, name)
    async with registry:
        await gather(jobs)


def _show(verdicts: tuple[Verdict, ...], notes: list[str]) -> None:
    if output.is_terminal():
        tables.show_on_terminal(_HEADERS, map(_row, verdicts), notes)
        return
    output.write(tables.plain_table(_HEADERS, map(_row, verdicts)))
    for note in notes:
        output.note(note)


def _row(verdict: Verdict) -> tuple[Cell, ...]:
    return (
        Cell("" if verdict.rank is None else str(verdict.rank)),
        Cell(verdict.name, "bold" if verdict.rank == 1 else ""),
        Cell(f"{verdict.score:.3f}" if verdict.eligible else "out", _style(verdict)),
        Cell(verdict.reason),
        Cell("" if verdict.until is None else duration(verdict.until)),
    )


def _style(verdict: Verdict) -> str:
    if not verdict.eligible:
        return "red"
    return "yellow" if verdict.reason else "green"


def _notes(requirements: Mapping[str, Any], strategy: Strategy, *, checked: bool) -> list[str]:
    """What a program that has only just started cannot know."""
    notes: list[str] = []
    if not checked:
        notes.append("health was not checked, and what is unknown counts as usable")
    if strategy in _LEARNED or requirements["fast_response"] or requirements["max_cost"]:
        notes.append(
            "speed is learned from runs, and this program saw none; prices are from a list"
        )
    return notes


def _exit_code(verdicts: tuple[Verdict, ...]) -> ExitCode:
    if any(verdict.eligible for verdict in verdicts):
        return ExitCode.OK
    later = any(verdict.until is not None for verdict in verdicts)
    return ExitCode.LATER if later else ExitCode.NOT_STARTED
