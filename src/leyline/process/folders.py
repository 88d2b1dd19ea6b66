"""The private folders of runs. Making one costs more than starting a small program, so those that
a run left empty are used again."""

import os
import shutil
import tempfile

from attrs import define, field


@define
class Folders:
    """Folders in one temporary folder of their own, which is made when it is first needed.

    root: That folder; None as long as there is none.
    """

    root: str | None = None
    _empty: list[str] = field(factory=list[str])
    _count: int = 0

    def name_one(self) -> str:
        """A folder for one run, which need not exist yet. Private to it until it is given back."""
        if self._empty:
            return self._empty.pop()
        if self.root is None:
            self.root = tempfile.mkdtemp(prefix="leyline-")
        self._count += 1
        return f"{self.root}/{self._count}"

    def make(self, path: str) -> None:
        """See to it that the folder exists."""
        if not os.path.isdir(path):  # noqa: PTH112  (on the hot path)
            os.mkdir(path, 0o700)  # noqa: PTH102

    def give_back(self, path: str) -> None:
        """The run has ended, and nothing of its tree is left to use the folder."""
        try:
            if not os.listdir(path):  # noqa: PTH208
                self._empty.append(path)
                return
        except OSError:
            pass  # the tool removed or closed it
        shutil.rmtree(path, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove everything."""
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)
