"""The commands put together, and every way in which one can end."""

import logging
import signal
from collections.abc import Sequence
from typing import Annotated, Final, cast

import typer

from leyline.cli import exits, output
from leyline.cli.batch import batch
from leyline.cli.exits import ExitCode
from leyline.cli.explain import explain
from leyline.cli.health import health
from leyline.cli.init import init
from leyline.cli.quota import quota
from leyline.cli.report import report
from leyline.cli.run import run
from leyline.cli.services import services
from leyline.cli.usage import app as usage_app
from leyline.errors import LeylineError

# What typer raises for a wrong command line; it has no public name for it.
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])

app = typer.Typer(
    name="leyline",
    help="Ask AI command-line tools, and see what they are up to.",
    epilog=f"\b\n{exits.EXIT_CODES}",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
for command in (run, batch, services, health, quota, explain, report, init):
    app.command()(command)
app.add_typer(usage_app, name="usage")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # slow

        output.write(f"leyline {version('leyline-registry')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def run_app(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. A user's mistake is a message, no traceback."""
    output.prepare_streams()
    logging.getLogger("leyline").addHandler(_Notes(logging.WARNING))
    try:
        code = int(app(args=list(arguments) or ["--help"], standalone_mode=False))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except LeylineError as error:
        output.note(str(error))
        code = exits.of_error(error)
    except _UsageError as error:
        output.note(_describe(error))
        code = ExitCode.USAGE
    except OSError as error:  # a disk or a file that nobody thought of
        output.note(_say(error))
        code = ExitCode.FAILED
    if code == ExitCode.INTERRUPTED:  # which is also what typer makes of an interrupt
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the last words, and no traceback over them
        output.note("interrupted")
    return code


class _Notes(logging.Handler):
    """What the library warns of, in the tone of the program."""

    def emit(self, record: logging.LogRecord) -> None:
        output.note(output.on_one_line(record.getMessage()))


def _say(error: OSError) -> str:
    words = error.strerror or str(error) or type(error).__name__
    return f"{words}: {error.filename}" if error.filename else words


def _describe(error: typer.BadParameter) -> str:
    words = output.on_one_line(error.format_message()).removesuffix(".")
    command = error.ctx.command_path if error.ctx else "leyline"
    return f'{words[:1].lower()}{words[1:]} (see "{command} --help")'
