"""The private folders of runs. Making one costs more than starting a small program, so those that
a run left empty are used again: by the same service at once, by others as soon as a look at all
processes has shown that nothing of the run is left.
"""

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Container

from attrs import define, field


@define
class Folders:
    """Folders in one temporary folder of their own, which is made when it is first needed, and
    again where it has disappeared.

    root: That folder; None as long as none is needed.
    """

    root: str | None = None
    _owner: int | None = None
    _empty: list[str] = field(factory=list[str])
    _at_hand: dict[str, list[str]] = field(factory=dict[str, list[str]])
    _resting: dict[str, str] = field(factory=dict[str, str])
    _count: int = 0

    def name_one(self, service: str) -> str:
        """A folder for one run of *service*, which need not exist yet. Private to it meanwhile."""
        if mine := self._at_hand.get(service) or self._empty:
            return mine.pop()
        if self.root is None:
            self.root = f"{_temporary_folder()}/leyline-{secrets.token_hex(8)}"
        self._count += 1
        return f"{self.root}/{self._count}"

    def make(self, path: str) -> None:
        """See to it that the folder exists, and that nobody else can come by anything in it.

        Raises OSError where that cannot be.
        """
        assert self.root is not None
        if not self._is_ours(self.root):
            os.mkdir(self.root, 0o700)  # noqa: PTH102  (refuses one that somebody else made)
            self._owner = os.lstat(self.root).st_uid
        if not self._is_ours(path):
            os.mkdir(path, 0o700)  # noqa: PTH102  (on the hot path)

    def give_back(self, run: str, path: str, *, service: str | None = None) -> None:
        """*run* has ended. Something of it may have left its group and use the folder still.

        service: Whose next run may have it all the same. None: nobody's.
        """
        if not _is_empty(path):
            shutil.rmtree(path, ignore_errors=True)
        elif service is not None and self._is_ours(path):  # no link that the tool put in its place
            self._at_hand.setdefault(service, []).append(path)
        else:
            self._resting[run] = path

    def release(self, left: Container[str]) -> None:
        """All runs that were given back are gone, but those of *left*: use their folders again."""
        for run in [run for run in self._resting if run not in left]:
            path = self._resting.pop(run)
            if self._is_ours(path) and _is_empty(path):
                self._empty.append(path)
            else:
                shutil.rmtree(path, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove everything."""
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)

    def _is_ours(self, path: str) -> bool:
        # By the owner as it was given: some file systems give another than asked for.
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self._owner


def _temporary_folder() -> str:
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:  # none can be written to now, as who makes a folder there will see
        folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  (where nothing will be made)
    return os.path.abspath(folder)  # noqa: PTH100  (a text is wanted)


def _is_empty(path: str) -> bool:
    try:
        return not os.listdir(path)  # noqa: PTH208  (on the hot path)
    except OSError:  # the tool removed or closed it
        return False
