"""``leyline-local``: a real model as a command-line tool, with no key and no network.

It knows nothing of the rest of leyline, which drives it like any other tool.
"""

import os
import signal
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run ``leyline-local`` with the arguments of the process, and end the process."""
    # While C++ code runs, Python would see a signal only afterwards; the system ends us at once.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from leyline.local.program import run  # not before the signal is set

    os._exit(run(sys.argv[1:]))  # all is written; the interpreter would only take time to end
