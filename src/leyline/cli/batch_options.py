"""The options of ``leyline batch``."""

from typing import Annotated

import typer

from leyline.batch import Format

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="Rows: .jsonl, .csv, .tsv, else a prompt a line; - is standard input. A row has a "
        "prompt, and may have an id, service, model and files.",
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="OUTPUT",
        help="JSON lines, one for each row. OUTPUT.journal beside it lets the same command go on "
        "after it was stopped.",
        show_default=False,
    ),
]
Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service",
        "-s",
        metavar="NAME",
        help="Who may answer, in this order; repeatable. Default: all.",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", "-c", metavar="N", min=1, help="Rows at once.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="Default: the service's own."),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Stop a run after this time. Default: the service's own."),
]
Template = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help='The prompt, with {column}s: "Summarise: {text}".'),
]
InputFormat = Annotated[
    Format | None,
    typer.Option("--format", help="How INPUT is written. Default: by its ending."),
]
Ordered = Annotated[bool, typer.Option("--ordered", help="Write OUTPUT in the order of INPUT.")]
MaxCost = Annotated[
    float | None,
    typer.Option(
        metavar="DOLLARS",
        min=0,
        help="End when the whole batch has cost so much, as far as costs are known.",
    ),
]
MaxFailures = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="End when so many rows have failed.")
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="End at this time, such as 07:00 or 2026-12-24T18:00."),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="End where quotas are used up for over a minute.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Also run again what failed before.")
]
OnlyErrors = Annotated[
    bool, typer.Option("--only-errors", help="Run nothing but what failed before.")
]
Plan = Annotated[
    bool,
    typer.Option("--plan", help="Run nothing; say how long it would take, and what it would cost."),
]
RunSeconds = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0, help="For --plan: how long a run takes, where none was seen yet."
    ),
]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Go on with an INPUT that has changed: run what is new or changed, drop what is gone.",
    ),
]
