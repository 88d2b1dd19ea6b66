"""One check of one service: look, run what its configuration names, and let it be judged."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from attrs import evolve

from leyline.clock import Clock
from leyline.config import AuthMethod, ServiceConfig
from leyline.errors import CommandNotFoundError, InvalidCallError, RejectedError
from leyline.gather import gather
from leyline.health.diagnosis import CHECK_SECONDS, Findings, Ran, diagnose
from leyline.model import ExecutionResult, HealthReport, RunCommand
from leyline.program import find_program
from leyline.template import CHECK_PLACEHOLDERS, CommandTemplate

_KEYED: Final = (AuthMethod.API_KEY, AuthMethod.TOKEN)


async def probe(
    config: ServiceConfig,
    run: RunCommand,
    *,
    environ: Mapping[str, str],
    live: Callable[[], Awaitable[ExecutionResult]] | None = None,
    clock: Clock,
) -> HealthReport:
    """Check one service now: installed, authenticated and, on request, live.

    Runs no more than it needs: nothing if the command is not found on PATH; ``version_cmd`` only
    where there is no ``health_check_cmd``, which says more; that one and ``auth_check_cmd`` at
    the same time, each for 30 s at most; *live* last, and only if nothing spoke against it.

    environ: Where PATH and the variable of the key are looked up.
    live: Sends a real prompt. None: none is sent.

    Raises ConfigError if a command line cannot be read, and whatever *run* or *live* raise beyond
    RejectedError and InvalidCallError (which mean that nothing was started).
    Cancellation: cancels what runs.
    """
    started = clock.monotonic()
    seen = {**environ, **config.env}
    key = seen.get(config.auth_env_var, "")
    try:
        find_program(config.name, config.command, path=seen.get("PATH"))
        found = await _run_commands(config, run)
        if config.auth_env_var and config.auth_method in _KEYED:
            found = evolve(found, key_set=bool(key.strip()))
        if live is not None and diagnose(config, found):
            found = evolve(found, live=await _ask(live))
    except CommandNotFoundError as error:
        found = Findings(missing=error)
    report = diagnose(config, found, secret=key)
    return evolve(report, checked_at=clock.wall(), duration=clock.monotonic() - started)


async def _run_commands(config: ServiceConfig, run: RunCommand) -> Findings:
    lines = {
        "custom": config.health_check_cmd,
        "version": "" if config.health_check_cmd else config.version_cmd,
        "login": config.auth_check_cmd,
    }
    jobs = {
        tier: functools.partial(_run, config, _arguments(config, line), run)
        for tier, line in lines.items()
        if line
    }
    ran = await gather(jobs)
    return Findings(custom=ran.get("custom"), version=ran.get("version"), login=ran.get("login"))


def _arguments(config: ServiceConfig, line: str) -> tuple[str, ...]:
    template = CommandTemplate.parse(line, placeholders=CHECK_PLACEHOLDERS)
    return template.fill(config.name, command=config.command)


async def _run(config: ServiceConfig, argv: tuple[str, ...], run: RunCommand) -> Ran:
    """Raises CommandNotFoundError only if it is the service's own command that cannot be run."""
    try:
        return await run(argv, timeout=CHECK_SECONDS)
    except RejectedError as error:
        if isinstance(error, CommandNotFoundError) and argv[0] == config.command:
            raise
        return error


async def _ask(
    live: Callable[[], Awaitable[ExecutionResult]],
) -> ExecutionResult | RejectedError | InvalidCallError:
    try:
        return await live()
    except CommandNotFoundError:
        raise
    except (RejectedError, InvalidCallError) as error:
        return error
