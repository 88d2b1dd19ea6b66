"""Keep what C++ code writes away from the answer."""

import errno
import os
import sys
from io import TextIOWrapper


def reserve_streams(*, verbose: bool) -> None:
    """Take standard output and standard error for this program's own words, for good.

    ``sys.stdout`` and ``sys.stderr`` become copies of the real ones, in UTF-8. Descriptors 1 and 2,
    where native code and its threads write, lead to standard error with *verbose*, else nowhere.
    A closed standard error leads nowhere; a closed standard output raises ``OSError``.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    if sys.stderr is None:
        _lead(2, os.open(os.devnull, os.O_WRONLY))
    log = os.dup(2) if verbose else os.open(os.devnull, os.O_WRONLY)
    sys.stdout, sys.stderr = _copy(1), _copy(2)
    os.dup2(log, 1)
    _lead(2, log)


def _lead(descriptor: int, to: int) -> None:
    """Make *descriptor* lead where *to* does, which is closed."""
    if descriptor != to:
        os.dup2(to, descriptor)
        os.close(to)


def _copy(descriptor: int) -> TextIOWrapper:
    copy = os.dup(descriptor)
    return open(copy, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: PTH123  (no path)
