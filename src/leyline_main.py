"""The program ``leyline``, from its first moment on.

It stands beside the package, because loading that takes some tenths of a second, in which an
interrupt is to end the program as quietly as later.
"""

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    try:
        import signal  # from here on an interrupt is caught

        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it costs all exit statuses
        heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if heard:  # it is not for `… &` in a script
            signal.signal(signal.SIGINT, _leave)
        from leyline.cli.app import run_app

        if heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run_app(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and said
    except KeyboardInterrupt:  # so early, or so impatient, that nothing else could be said
        code = _INTERRUPTED
    sys.exit(code)


def _leave(*_: object) -> None:
    """Nothing was begun yet. An exception in the midst of an import could be lost, or printed."""
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
