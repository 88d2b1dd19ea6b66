"""``leyline batch``: a file of prompts, answered to the end."""

import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import anyio

from leyline.batch import Format, Recipe
from leyline.batch.opening import Opening
from leyline.batch.run import Report, Run
from leyline.batch.settings import Ending, Settings
from leyline.batch.source import Source, open_source
from leyline.cli import batch_options, batch_words, options, output
from leyline.cli.batch_checks import row_checks
from leyline.cli.batch_plan import Plan
from leyline.cli.batch_view import View
from leyline.cli.exits import CommandLineError
from leyline.cli.fleet import Fleet
from leyline.cli.interrupts import run_until_interrupted_twice
from leyline.cli.moments import read_moment
from leyline.config import UNSAID
from leyline.service_registry import ServiceRegistry


def batch(
    *,
    source: batch_options.Input,
    result: batch_options.Output,
    services: batch_options.Services = None,
    concurrency: batch_options.Concurrency = 8,
    model: batch_options.Model = None,
    timeout: batch_options.Timeout = None,
    template: batch_options.Template = None,
    form: batch_options.InputFormat = None,
    ordered: batch_options.Ordered = False,
    max_cost: batch_options.MaxCost = None,
    max_failures: batch_options.MaxFailures = None,
    until: batch_options.Until = None,
    no_wait: batch_options.NoWait = False,
    retry_failed: batch_options.RetryFailed = False,
    only_errors: batch_options.OnlyErrors = False,
    accept_changes: batch_options.AcceptChanges = False,
    plan: batch_options.Plan = False,
    run_seconds: batch_options.RunSeconds = 10.0,
    config: options.Config = None,
) -> int:
    """Answer a file of prompts; the same command again goes on where it stopped.

    Ctrl-C once finishes what runs, twice stops at once.
    """
    _check(timeout, template)
    fleet = _fleet(config, services or ())
    settings = Settings(
        services=tuple(services) if services else None,
        concurrency=concurrency,
        model=model,
        timeout=UNSAID if timeout is None else timeout,
        ordered=ordered,
        max_cost=max_cost,
        max_failures=max_failures,
        until=None if until is None else read_moment(until),
        wait=not no_wait,
        only_failed=only_errors,
    )
    opening = Opening(
        source=_source(source, form),
        output=Path(result),
        template=template,
        options={"--service": services, "--model": model, "--timeout": timeout},
        check=row_checks(fleet.registry.services, settings),
        ordered=ordered,
        accept_changes=accept_changes,
        retry_failed=retry_failed or only_errors,
    )
    if plan:
        return Plan(opening=opening, settings=settings, fleet=fleet, seconds=run_seconds).show()
    return _run(opening, settings, fleet)


def _run(opening: Opening, settings: Settings, fleet: Fleet) -> int:
    with opening.open() as opened:
        batch_words.tell_opened(opened)
        run = Run(opened, settings)
        registry = ServiceRegistry(on_event=run.hear)
        for name, service in fleet.registry.services.items():
            registry.register(name, service)
        main = functools.partial(_main, run, registry, settings)
        report = run_until_interrupted_twice(main, first=functools.partial(_interrupt, run))
        opened.output.sync()
        return batch_words.tell_ended(opened, run.progress, report)


async def _main(run: Run, registry: ServiceRegistry, settings: Settings) -> Report:
    report = Report(ending=Ending.INTERRUPTED)
    async with registry, anyio.create_task_group() as group:
        group.start_soon(View.of(run).watch, registry, settings)
        report = await run.main(registry)
        group.cancel_scope.cancel()
    return report


def _interrupt(run: Run) -> None:
    run.stop(Ending.INTERRUPTED)
    if run.busy and not output.is_terminal(sys.stderr):  # a terminal shows it in its view
        output.note(f"finishing {run.busy:,} rows that run; interrupt again to stop at once")


def _check(timeout: float | None, template: str | None) -> None:
    if timeout is not None and not timeout > 0:
        raise CommandLineError(f"a timeout must be a positive number of seconds, got {timeout:g}")
    try:
        Recipe.of(template)
    except ValueError as error:
        raise CommandLineError(f"--template: {error}") from None


def _fleet(config: str | None, names: Sequence[str]) -> Fleet:
    fleet = Fleet.find(config, names=names)
    fleet.require()
    for name in names:
        fleet.check(name)
    return fleet


def _source(name: str, form: Format | None) -> Source | None:
    """The input; None: standard input has nothing to say, so what is in the journal is meant."""
    stdin = None if sys.stdin is None else cast("io.BufferedReader", sys.stdin.buffer)
    if name != "-":
        return open_source(name, stdin or io.BytesIO(), form)
    if stdin is None or stdin.isatty() or not stdin.peek(1):
        return None
    return open_source(name, stdin, form)
