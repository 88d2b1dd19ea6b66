"""``leyline run``: one prompt, one answer."""

import functools
import sys
import time
from collections.abc import Sequence
from typing import Annotated, TypedDict

import typer

from leyline.cli import exits, options, output
from leyline.cli.exits import CommandLineError, NoUsableServiceError
from leyline.cli.fleet import Fleet
from leyline.cli.interrupts import run_until_interrupted
from leyline.config import UNSAID
from leyline.model import ExecutionResult, Failure
from leyline.service_registry import ServiceRegistry

_Prompt = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT",
        help="The prompt; put -- before one that begins with a dash. Without it, or with -, "
        "the prompt is read from standard input.",
        show_default=False,
    ),
]
_Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service",
        "-s",
        metavar="NAME",
        help="Who to ask. Default: the first usable one; with --failover or --race, for which "
        "it is repeatable, all.",
        show_default=False,
    ),
]


def run(
    *,
    prompt: _Prompt = None,
    services: _Services = None,
    failover: Annotated[
        bool, typer.Option("--failover", help="Ask one after another, until one answers.")
    ] = False,
    race: Annotated[
        bool, typer.Option("--race", help="Ask all at once; the first good answer counts.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="Default: the service's own."),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="PATH", help="A file to go with it; repeatable."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop after this time. Default: the service's own."),
    ] = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Ask a service, and print its answer."""
    names = tuple(services or ())
    _check_options(names, failover=failover, race=race)
    text = _prompt(prompt)
    fleet = Fleet.find(config, names=names)
    fleet.require()
    for name in names:
        fleet.check(name)
    seconds = UNSAID if timeout is None else timeout
    asked = _Asked(prompt=text, files=files, model=model, timeout=seconds)
    ask = functools.partial(_ask_several, race=race) if failover or race else _ask_one
    result = run_until_interrupted(functools.partial(ask, fleet.registry, names, asked))
    if as_json:
        output.write_json(result)
    elif result.success:
        output.write(result.text)
    if result.failure is not None:
        output.note(_describe(result, result.failure))
    return exits.of_result(result)


class _Asked(TypedDict):
    prompt: str
    files: list[str] | None
    model: str | None
    timeout: float


def _check_options(names: Sequence[str], *, failover: bool, race: bool) -> None:
    if failover and race:
        raise CommandLineError("--failover and --race exclude each other; give one of them")
    if len(names) > 1 and not (failover or race):
        raise CommandLineError(
            f"{len(names)} services are named; say how to ask them: --failover or --race"
        )


def _prompt(argument: str | None) -> str:
    if argument is not None and argument != "-":
        prompt, where = argument, ""
    elif argument is None and (sys.stdin is None or sys.stdin.isatty()):
        raise CommandLineError(
            'there is no prompt; give one as an argument (leyline run "...") or on standard input'
        )
    else:
        prompt, where = _read_standard_input(), " on standard input"
    if not prompt.strip():
        raise CommandLineError(f"the prompt{where} is empty; give it some text")
    return prompt


def _read_standard_input() -> str:
    if sys.stdin is None:
        raise CommandLineError("standard input is closed; give the prompt as an argument")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise CommandLineError(
            f"the prompt on standard input is not UTF-8 text (byte {error.start + 1:,} is "
            f"0x{error.object[error.start]:02x}); convert it first"
        ) from None
    except OSError as error:
        raise CommandLineError(f"cannot read standard input: {error.strerror}") from None


async def _ask_one(
    registry: ServiceRegistry, names: Sequence[str], asked: _Asked
) -> ExecutionResult:
    async with registry:
        service = names[0] if names else await _first_usable(registry)
        if not names and sys.stderr.isatty():
            output.note(f"asking {service}")
        return await registry.execute(service, **asked)


async def _ask_several(
    registry: ServiceRegistry, names: Sequence[str], asked: _Asked, *, race: bool
) -> ExecutionResult:
    services = names or tuple(registry.services)
    async with registry:
        call = registry.race if race else registry.execute_with_failover
        result = await call(services=services, **asked)
    if sys.stderr.isatty():
        output.note(f"{result.service} answered")
    return result


async def _first_usable(registry: ServiceRegistry) -> str:
    """The first service that a check finds usable; the only one is not checked but asked."""
    names = tuple(registry.services)
    if len(names) == 1:
        return names[0]
    reasons: list[str] = []
    for name in names:
        report = await registry.health_check(name)
        if report:
            return name
        reasons.append(f"{name}: {report.reason}")
    raise NoUsableServiceError(
        f"none of {len(names)} services is usable:" + "".join(f"\n  {why}" for why in reasons)
    )


def _describe(result: ExecutionResult, failure: Failure) -> str:
    message = output.on_one_line(failure.message)
    if when := _when_to_come_back(result, failure):
        message = f"{message.removesuffix('.')}; try again at {when}"
    return f"{result.service}: {failure.kind}: {message}"


def _when_to_come_back(result: ExecutionResult, failure: Failure) -> str:
    """The local time at which the service may answer again; empty if it did not say."""
    if failure.until is not None:
        moment = failure.until
    elif failure.retry_after is not None:
        moment = result.started_at + result.duration + failure.retry_after
    else:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # further away than a calendar reaches
        return ""
