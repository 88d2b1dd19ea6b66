"""``leyline run``: one prompt, one answer."""

import functools
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from leyline.cli import exits, options, output
from leyline.cli.exits import CommandLineError, NoUsableServiceError
from leyline.cli.fleet import Fleet
from leyline.cli.interrupts import run_until_interrupted
from leyline.config import UNSAID
from leyline.model import ExecutionResult, Failure
from leyline.service_registry import ServiceRegistry


def run(
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="The prompt; put -- before one that begins with a dash. Without it, or with -, "
            "the prompt is read from standard input.",
            show_default=False,
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            "--service", "-s", metavar="NAME", help="Who to ask. Default: the first usable one."
        ),
    ] = None,
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
    text = _prompt(prompt)
    fleet = Fleet.find(config, names=(service,) if service else ())
    fleet.require()
    if service is not None:
        fleet.check(service)
    execute = functools.partial(
        fleet.registry.execute,
        prompt=text,
        files=files,
        model=model,
        timeout=UNSAID if timeout is None else timeout,
    )
    result = run_until_interrupted(functools.partial(_ask, fleet.registry, service, execute))
    if as_json:
        output.write_json(result)
    elif result.success:
        output.write(result.text)
    if result.failure is not None:
        output.note(_describe(result, result.failure))
    return exits.of_result(result)


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


async def _ask(
    registry: ServiceRegistry,
    service: str | None,
    execute: Callable[[str], Awaitable[ExecutionResult]],
) -> ExecutionResult:
    async with registry:
        if service is None:
            service = await _first_usable(registry)
            if sys.stderr.isatty():
                output.note(f"asking {service}")
        return await execute(service)


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
