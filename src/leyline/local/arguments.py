"""The command line."""

import argparse
import math
from collections.abc import Callable
from typing import Final, TypeVar

from leyline.local.engine import LOOPBACK, TRAINED_CONTEXT
from leyline.local.weights import MODEL

DEFAULT_TOKENS: Final = 64
MOST_TOKENS: Final = 1024
DEFAULT_CONTEXT: Final = 4096
DEFAULT_THREADS: Final = 1
"""A second thread saves a tenth of the time alone, and takes five times as long among others."""

MOST_SEED: Final = 2**32 - 2  # the number above it means "random" to llama.cpp

_Number = TypeVar("_Number", int, float)


def parse(argv: list[str]) -> argparse.Namespace:
    """Read *argv*; what is wrong, and ``--help``, end the process as argparse does (2, 0)."""
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leyline-local",
        allow_abbrev=False,
        description=f"Continue a text with {MODEL}, a small base model: no key, no network. "
        "The text comes from --prompt, else from standard input; the answer is a JSON document.",
        epilog="Exit status: 0 answered, 1 failed (the document says why), 2 wrong usage.",
    )
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="the text; else standard input")
    parser.add_argument("--text", action="store_true", help="print the answer alone, not JSON")
    parser.add_argument("--model", default=MODEL, metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--temperature", type=_between(0.0, 10.0, float), default=0.0, metavar="T",
        help="0 always gives the same answer (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=_between(0, MOST_SEED, int), metavar="N",
        help="for a temperature above 0 (default: random)",
    )  # fmt: skip
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    _add_common(parser)
    # Defaults stand here alone: a subparser's own would undo what was given before the command.
    parser.set_defaults(
        max_tokens=DEFAULT_TOKENS, context=DEFAULT_CONTEXT, threads=DEFAULT_THREADS, verbose=False
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    serve = commands.add_parser(
        "serve",
        allow_abbrev=False,
        help="serve the model on this machine, over HTTP",
        description="Serve the OpenAI chat completions and responses protocols and the Anthropic "
        "messages protocol on this machine, until SIGTERM or SIGINT. Prints the address when "
        "ready.",
    )
    serve.add_argument("--host", default=LOOPBACK, help="a loopback address (%(default)s)")
    serve.add_argument(
        "--port", type=_between(0, 65_535, int), default=0, metavar="N",
        help="0 takes a free one (default: %(default)s)",
    )  # fmt: skip
    _add_common(serve)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-tokens", type=_between(1, MOST_TOKENS, int), default=argparse.SUPPRESS, metavar="N",
        help=f"most tokens of an answer, 1 to {MOST_TOKENS} (default: {DEFAULT_TOKENS})",
    )  # fmt: skip
    parser.add_argument(
        "--context", type=_between(256, TRAINED_CONTEXT, int), default=argparse.SUPPRESS,
        metavar="N",
        help="tokens of prompt and answer together, rounded up to a multiple of 256; "
        f"256 to {TRAINED_CONTEXT} (default: {DEFAULT_CONTEXT})",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=_between(1, 512, int), default=argparse.SUPPRESS, metavar="N",
        help=f"threads to compute with (default: {DEFAULT_THREADS})",
    )  # fmt: skip
    parser.add_argument(
        "--verbose", action="store_true", default=argparse.SUPPRESS,
        help="llama.cpp's log on standard error",
    )  # fmt: skip


def _between(
    least: _Number, most: _Number, number: Callable[[str], _Number]
) -> Callable[[str], _Number]:
    def read(text: str) -> _Number:
        try:
            value = number(text)
        except ValueError:
            value = None
        if value is None or not math.isfinite(value) or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return value

    return read
