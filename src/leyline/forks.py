"""What must not be open while a process forks."""

import os
import threading
from typing import Final, Protocol
from weakref import WeakValueDictionary


class Freezable(Protocol):
    """What can be closed before a fork, on any thread."""

    def freeze(self) -> None:
        """Before a fork: close it, and keep it closed until ``thaw``."""
        ...

    def thaw(self, *, child: bool) -> None:
        """After the fork, in either process."""
        ...


def keep_out_of_forks(file: Freezable) -> None:
    """Close *file* before each fork, as long as it is there."""
    _files[id(file)] = file


_files: Final = WeakValueDictionary[int, Freezable]()


class _Forks:
    """Closes all files before a fork; one fork at a time, as other threads may fork too."""

    def __init__(self) -> None:
        self._gate = threading.RLock()
        self._frozen: list[Freezable] = []

    def before(self) -> None:
        self._gate.acquire()
        while left := self._left():  # more of them may come meanwhile
            for file in left:
                file.freeze()
                self._frozen.append(file)

    def after(self, *, child: bool) -> None:
        while self._frozen:
            self._frozen.pop().thaw(child=child)
        if child:
            self._gate = threading.RLock()  # others may have waited for the old one
        else:
            self._gate.release()

    def _left(self) -> list[Freezable]:
        files = (reference() for reference in _files.valuerefs())  # at once: no thread adds to it
        return [file for file in files if file is not None and file not in self._frozen]


_forks: Final = _Forks()
os.register_at_fork(
    before=_forks.before,
    after_in_parent=lambda: _forks.after(child=False),
    after_in_child=lambda: _forks.after(child=True),
)
