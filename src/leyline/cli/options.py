"""Options that several commands share."""

from typing import Annotated

import typer

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="PATH",
        help="The configuration (YAML or TOML). Default: $LEYLINE_CONFIG, ./services.yaml, the "
        "user's configuration folder; without any, the tools that are installed.",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
