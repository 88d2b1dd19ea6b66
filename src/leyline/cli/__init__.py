"""The program ``leyline``: one file a command. The only room that knows a terminal."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    try:
        from leyline.cli.app import run_app  # an interrupt meanwhile is caught

        code = run_app(sys.argv[1:])
    except KeyboardInterrupt:  # so early, or so impatient, that nothing else could be said
        code = 130
    sys.exit(code)
