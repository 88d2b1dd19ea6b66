"""``leyline report``: what was used, how quickly, what failed and what it cost, as one page."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from leyline.cli import charts, options, output, periods
from leyline.cli.charts import Section
from leyline.cli.exits import ExitCode, OutputError
from leyline.cli.fleet import Fleet
from leyline.cli.usage import dollars, notes_on_cost, path_of
from leyline.limits import Limit
from leyline.quota_limits import read_quota_limits
from leyline.usage.book import GroupBy, UsageBook
from leyline.usage.history import daily_costs, edges, latencies, use_of_limit
from leyline.usage.summary import Sample, UsageFilter, UsageSummary

_BINS: Final = 240
_HEADERS: Final = (
    "service", "runs", "failed", "refused", "input tokens", "output tokens", "seconds", "cost",
)  # fmt: skip


def report(
    *,
    to: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The HTML page.", show_default=False),
    ],
    since: periods.Since = "7d",
    until: periods.Until = None,
    file: periods.Store = None,
    config: options.Config = None,
) -> int:
    """Write one HTML page with plots of quotas, latency, failures and cost.

    Everything is in the page: it can be sent to others, and asks nothing of any other place.
    """
    charts.require_bokeh()
    now = datetime.now().astimezone()
    begin = periods.moment(since, "--since", now) or 0.0
    end = periods.moment(until, "--until", now) or now.timestamp()
    quotas = _quotas(config)
    where = UsageFilter(since=begin, until=end)
    reach = max((limit.per for _, limits in quotas.values() for limit in limits), default=0.0)
    with UsageBook.open(path_of(file)) as book:
        earlier = list(book.samples(UsageFilter(since=begin - reach, until=end)))
        samples = [sample for sample in earlier if sample.at >= begin]
        total = book.total(where)
        begin = max(begin, total.first_at or begin)  # no empty years
        sections = [
            _quota_section(quotas, earlier, edges(begin, max(end, begin + 1.0), _BINS)),
            _latency_section(samples),
            _failure_section(book, where),
            _cost_section(samples),
        ]
        table = _table(book.summaries(GroupBy.SERVICE, where), total)
    period = f"{_shown(begin)} to {_shown(end)}, by the clock of {now:%Z}"
    text = charts.page("Use of AI services", period, table, notes_on_cost(total), sections)
    _write(to, text)
    return ExitCode.OK


def _quotas(config: str | None) -> Mapping[str, tuple[Sequence[str], Sequence[Limit]]]:
    """By the account, the services that share it, and its limits."""
    found: dict[str, tuple[list[str], tuple[Limit, ...]]] = {}
    for name, service in Fleet.find(config).registry.services.items():
        quota, _ = read_quota_limits(service.quota_limits)
        if quota.limits:
            found.setdefault(quota.pool or name, ([], quota.limits))[0].append(name)
    return found


def _quota_section(
    quotas: Mapping[str, tuple[Sequence[str], Sequence[Limit]]],
    samples: Sequence[Sample],
    moments: Sequence[float],
) -> Section:
    shares: dict[str, Sequence[float]] = {}
    for account, (services, limits) in quotas.items():
        own = [sample for sample in samples if sample.service in services]
        for limit in limits:
            shares[f"{account} {limit.name}"] = use_of_limit(own, limit, moments)
    name, title = "quota", "Use against quota"
    if not shares:
        return Section(name=name, title=title, note="No service has a quota in the configuration.")
    note = "The fullest moment of each stretch of time; dotted: warning and critical."
    return Section(name=name, title=title, note=note, figure=charts.use_chart(moments, shares))


def _latency_section(samples: Sequence[Sample]) -> Section:
    found = latencies(samples)
    name, title = "latency", "Latency by service"
    if not found:
        return Section(name=name, title=title, note="Nothing was answered.")
    note = "Of successful runs: the median, the middle half, and nine of ten."
    return Section(name=name, title=title, note=note, figure=charts.latency_chart(found))


def _failure_section(book: UsageBook, where: UsageFilter) -> Section:
    found = book.failures(where)
    name, title = "failures", "Failures by kind"
    if not found:
        return Section(name=name, title=title, note="Nothing went wrong.")
    return Section(name=name, title=title, figure=charts.failure_chart(found))


def _cost_section(samples: Sequence[Sample]) -> Section:
    found = daily_costs(samples)
    name, title = "cost", "Cost by day"
    if not any(cost.reported or cost.estimated for cost in found):
        return Section(name=name, title=title, note="No cost is known.")
    note = "Paler: estimated from tokens."
    return Section(name=name, title=title, note=note, figure=charts.cost_chart(found))


def _table(rows: Sequence[UsageSummary], total: UsageSummary) -> list[Sequence[str]]:
    return [_HEADERS, *(_row(row, row.key) for row in rows), _row(total, "all")]


def _row(summary: UsageSummary, key: str) -> tuple[str, ...]:
    s = summary
    counts = (s.runs, s.failed, s.refused, s.input_tokens, s.output_tokens)
    return (key, *(f"{count:,}" for count in counts), f"{s.seconds:,.0f}", dollars(s.cost_usd))


def _shown(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M}"


def _write(path: Path, text: str) -> None:
    """Put *text* into the file whole: who looks at it meanwhile sees the old one."""
    building = path.parent / f".leyline.{os.getpid()}"
    try:
        building.write_text(text, encoding="utf-8")
        building.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            building.unlink()
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    output.note(f"wrote {path}")
