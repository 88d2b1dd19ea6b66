"""``leyline usage``: what was spent, and how to forget what is old."""

import csv
import io
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import attrs
import typer

from leyline.cli import options, output, periods, tables
from leyline.cli.exits import CommandLineError, ExitCode
from leyline.cli.tables import Cell
from leyline.usage.book import GroupBy, UsageBook
from leyline.usage.sqlite import SqliteSink
from leyline.usage.store import LINES, default_path
from leyline.usage.summary import FailureCount, UsageFilter, UsageSummary

_COLUMNS: Final = (
    "runs", "failed", "refused", "requests", "input", "cached", "output", "reasoning", "tokens",
    "cost", "estimated", "unknown", "seconds",
)  # fmt: skip
_ON_TERMINAL: Final = ("runs", "failed", "refused", "input", "output", "cost")
_FAILURES: Final = ("service", "error", "count", "last")

app: Final = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    *,
    by: Annotated[GroupBy, typer.Option("--by", help="What is added up.")] = GroupBy.SERVICE,
    since: periods.Since = None,
    until: periods.Until = None,
    service: Annotated[
        str | None,
        typer.Option("--service", "-s", metavar="NAME", help="Of this one only."),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="What went wrong instead, and how often.")
    ] = False,
    file: periods.Store = None,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
) -> int:
    """Show what was spent: processes, tokens, dollars."""
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    if as_json and as_csv:
        raise CommandLineError("give only one of --json and --csv")
    now = datetime.now().astimezone()
    where = UsageFilter(
        since=periods.moment(since, "--since", now),
        until=periods.moment(until, "--until", now),
        service=service,
    )
    with UsageBook.open(path_of(file)) as book:
        if errors:
            _show_failures(book.failures(where), as_json=as_json, as_csv=as_csv)
        else:
            rows, total = book.summaries(by, where), book.total(where)
            _show(by, rows, total, as_json=as_json, as_csv=as_csv)
    return ExitCode.OK


@app.command()
def prune(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Such as 90d.", show_default=False)
    ],
    file: periods.Store = None,
) -> int:
    """Delete old records, and say how many. What is deleted cannot be brought back."""
    seconds = periods.age(older_than)
    if seconds is None:
        raise CommandLineError(
            f'--older-than: expected an age such as 90d or 12h, got "{older_than}"'
        )
    path = path_of(file)
    if path.suffix == LINES:
        raise CommandLineError(
            f"{path} is only ever appended to; move it away, and a new one is begun"
        )
    count = 0
    if path.exists():
        sink = SqliteSink(path)
        count = sink.prune(time.time() - seconds)
        sink.close()
    output.write(f"{count} {'record' if count == 1 else 'records'} deleted")
    return ExitCode.OK


def path_of(file: str | None) -> Path:
    """The file to read; the user's own if none is named.

    Raises CommandLineError if there is no such file, or it cannot be reached.
    """
    if file is None:
        return default_path()
    try:
        Path(file).stat()
    except FileNotFoundError:
        raise CommandLineError(f'--file: there is no file "{file}"') from None
    except OSError as error:
        raise CommandLineError(f'--file: cannot read "{file}": {error.strerror}') from None
    return Path(file)


def dollars(amount: float | None) -> str:
    """US dollars as people write them; cents, and more digits for less than a dollar."""
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def _show(
    by: GroupBy,
    rows: Sequence[UsageSummary],
    total: UsageSummary,
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    if as_json:
        output.write_json({"by": by, "rows": list(rows), "total": total})
    elif as_csv:
        names = [column.name for column in attrs.fields(UsageSummary)]
        _write_csv([by, *names[1:]], [attrs.astuple(row) for row in rows])
    elif not rows:
        output.note("no usage is recorded for that")
    elif output.is_terminal():
        shown = [_row(row, row.key or "(unnamed)", _ON_TERMINAL) for row in rows]
        if len(rows) > 1:
            shown.append(_row(total, "all", _ON_TERMINAL, style="bold"))
        tables.show_on_terminal((by, *_ON_TERMINAL), shown, notes_on_cost(total))
    else:
        shown = [_row(row, row.key, _COLUMNS) for row in rows]
        output.write(tables.plain_table((by, *_COLUMNS), shown))


def _row(
    summary: UsageSummary, key: str, columns: Sequence[str], style: str = ""
) -> tuple[Cell, ...]:
    s = summary
    on_terminal = columns is _ON_TERMINAL
    plain_cost = "" if s.cost_usd is None else f"{s.cost_usd:.6f}"
    texts = {
        "runs": f"{s.runs:,}",
        "failed": f"{s.failed:,}",
        "refused": f"{s.refused:,}",
        "requests": f"{s.requests:,}",
        "input": f"{s.input_tokens:,}",
        "cached": f"{s.cached_tokens:,}",
        "output": f"{s.output_tokens:,}",
        "reasoning": f"{s.reasoning_tokens:,}",
        "tokens": f"{s.total_tokens:,}",
        "cost": dollars(s.cost_usd) if on_terminal else plain_cost,
        "estimated": f"{s.estimated_usd:.6f}",
        "unknown": f"{s.cost_unknown:,}",
        "seconds": f"{s.seconds:.1f}",
    }
    return (Cell(key, "bold"), *(Cell(texts[column], style) for column in columns))


def notes_on_cost(total: UsageSummary) -> list[str]:
    """What has to be known of the costs to understand them."""
    notes: list[str] = []
    if total.estimated_usd:
        notes.append(f"{dollars(total.estimated_usd)} of the cost is estimated from tokens.")
    if total.cost_unknown:
        runs = "run" if total.cost_unknown == 1 else "runs"
        notes.append(f"What {total.cost_unknown:,} {runs} cost is unknown, and not in it.")
    return notes


def _show_failures(found: Sequence[FailureCount], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        output.write_json(list(found))
    elif as_csv:
        names = [column.name for column in attrs.fields(FailureCount)]
        _write_csv(names, [attrs.astuple(count) for count in found])
    elif not found:
        output.note("nothing that is recorded went wrong")
    else:
        rows = [
            (
                Cell(count.service, "bold"),
                Cell(f"refused: {count.failure}" if count.refused else count.failure),
                Cell(f"{count.count:,}"),
                Cell(f"{datetime.fromtimestamp(count.last_at).astimezone():%Y-%m-%d %H:%M}"),
            )
            for count in found
        ]
        if output.is_terminal():
            tables.show_on_terminal(_FAILURES, rows, [])
        else:
            output.write(tables.plain_table(_FAILURES, rows))


def _write_csv(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    output.write(text.getvalue())
