"""``leyline batch --plan``: what a batch will take, without running anything."""

import functools
import math
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
from attrs import evolve, frozen

from leyline import usage
from leyline.batch import Recipe
from leyline.batch.journal import Journal
from leyline.batch.opening import Opening, journal_path
from leyline.batch.plan import RUNS, Forecast, Means, foretell
from leyline.batch.settings import Settings
from leyline.batch.source import Source
from leyline.batch.survey import Survey, Surveyor
from leyline.cli import output
from leyline.cli.exits import CommandLineError, ExitCode
from leyline.cli.fleet import Fleet
from leyline.cli.quota import duration
from leyline.config import ServiceConfig
from leyline.quota import QuotaStatus
from leyline.quota_limits import read_quota_limits
from leyline.service_registry import ServiceRegistry
from leyline.tokens import tokens_of_length
from leyline.usage.book import UsageBook
from leyline.usage.summary import UsageSummary


@frozen(kw_only=True)
class Plan:
    """A look ahead. seconds: Of one run of a service of which nothing is known yet."""

    opening: Opening
    settings: Settings
    fleet: Fleet
    seconds: float

    def show(self) -> int:
        """Say what is to be expected; returns the exit code."""
        if self.opening.source is None:
            raise CommandLineError("there is nothing on standard input; give the rows")
        services = self.fleet.registry.services
        survey = self._survey(self.opening.source, tuple(services))
        asked = {name for load in survey.loads for name in load.services}
        names = [name for name in services if name in asked]
        history = _history()
        quotas = anyio.run(_quotas, self.fleet.registry, names)
        tokens = sum(load.tokens for load in survey.loads) / max(1, survey.rows)
        means = [
            self._means(services[name], quotas[name], history.get(name), tokens) for name in names
        ]
        found = foretell(survey.loads, means, lanes=self.settings.concurrency, wall=time.time())
        for title, words in _words(survey, found, means, history):
            output.write(f"{title:<12}{words}")
        return ExitCode.OK if math.isfinite(found.seconds) else ExitCode.FAILED

    def _survey(self, source: Source, services: tuple[str, ...]) -> Survey:
        journal = journal_path(self.opening.output)
        with _answered(journal) as is_done:
            return Surveyor(
                recipe=Recipe.of(self.opening.template),
                check=self.opening.check,
                services=self.settings.services or services,
                is_done=is_done,
                file_tokens=functools.cache(_file_tokens),
            ).survey(source)

    def _means(
        self,
        config: ServiceConfig,
        status: QuotaStatus,
        seen: UsageSummary | None,
        tokens: float,
    ) -> Means:
        quota, _ = read_quota_limits(config.quota_limits)
        means = Means(
            name=config.name,
            account=status.account,
            limits=quota.limits,
            used={s.name: (s.used + s.waiting, s.frees_in or 0.0) for s in status.limits},
            concurrent=quota.concurrent,
            closed_for=status.closed_for,
            seconds=self.seconds,
        )
        if seen is not None and seen.runs:
            cost = (
                None if seen.cost_usd is None else seen.cost_usd / (seen.runs - seen.cost_unknown)
            )
            return evolve(
                means,
                seconds=seen.seconds / seen.runs,
                requests=seen.requests / seen.runs,
                input_tokens=seen.input_tokens / seen.runs,
                output_tokens=seen.output_tokens / seen.runs,
                cost=cost,
            )
        model = self.settings.model or config.default_model
        cost = usage.price(model, round(tokens), round(means.output_tokens))
        return evolve(means, cost=cost)


async def _quotas(registry: ServiceRegistry, names: Sequence[str]) -> dict[str, QuotaStatus]:
    async with registry:
        return {name: await registry.quota_status(name) for name in names}


def _history() -> Mapping[str, UsageSummary]:
    """What services have done before, by name."""
    with UsageBook.open(usage.default_path()) as book:
        return {summary.key: summary for summary in book.summaries()}


@contextmanager
def _answered(path: Path) -> Generator[Callable[[str], bool]]:
    """Says whether a row has a result in the journal at *path*, if there is one."""
    if not os.path.exists(path):  # noqa: PTH110  (the method raises for a name too long)
        yield lambda _: False
        return
    journal = Journal(path)
    try:
        with journal.answered() as is_done:
            yield is_done
    finally:
        journal.close()


def _file_tokens(name: str) -> int:
    return tokens_of_length(Path(name).stat().st_size, name)


def _words(
    survey: Survey, found: Forecast, means: Sequence[Means], history: Mapping[str, UsageSummary]
) -> list[tuple[str, str]]:
    rows = f"{survey.rows:,}" + (f"; {survey.done:,} more are done" if survey.done else "")
    if math.isfinite(found.seconds):
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + found.seconds))
        how_long = f"about {duration(found.seconds)}, until {end}"
    else:
        how_long = "never: some rows are larger than a limit of each service that may answer them"
    cost = "unknown" if found.cost is None else f"about ${found.cost:,.2f}"
    if found.cost is not None and found.unpriced:
        cost += f", and {found.unpriced:,} rows of which the price is unknown"
    service, limit = found.bottleneck
    bottleneck = (
        "how long a run takes, and how many there are at once (--concurrency)"
        if limit == RUNS
        else f"{limit} of {service}"
    )
    words = [
        ("rows", rows),
        ("time", how_long),
        ("tokens", f"about {found.tokens:,}"),
        ("cost", cost),
        ("bottleneck", bottleneck),
    ]
    for mean in means:
        runs = history[mean.name].runs if mean.name in history else 0
        known = f"as in {runs:,} runs before" if runs else "assumed (--run-seconds)"
        answered = f"{found.rows.get(mean.name, 0):,} rows"
        words.append((mean.name, f"{answered}, {mean.seconds:.1f} s each, {known}"))
    return words
