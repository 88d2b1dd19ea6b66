"""Tells the other processes of a machine that somebody of this one waits."""

import fcntl
import os
from pathlib import Path

from attrs import define, field


@define(eq=False)
class Notice:
    """A shared lock of the file *path*, held as long as somebody waits.

    It ends with its process. Whoever looks at the very moment at which another does may see one
    that is not there, or miss one: it serves to be considerate, and decides nothing.
    Every method raises OSError if the file cannot be used.
    """

    path: Path
    _descriptor: int | None = field(default=None, init=False)
    _posted: bool = field(default=False, init=False)

    def post(self) -> None:
        """Say so, until ``withdraw``; as often as one likes."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._posted = self._posted or _locked(self._descriptor, fcntl.LOCK_SH)

    def withdraw(self) -> None:
        """Say so no more."""
        descriptor, self._descriptor, self._posted = self._descriptor, None, False
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child may have inherited it by a fork
            os.close(descriptor)

    def is_posted_elsewhere(self) -> bool:
        """Whether another process says so."""
        if self._descriptor is not None:
            # Where it cannot have the lock alone, it has lost its own share of it.
            alone = _locked(self._descriptor, fcntl.LOCK_EX)
            self._posted = _locked(self._descriptor, fcntl.LOCK_SH)
            return not alone
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _locked(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Whether the lock was to be had at once."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
