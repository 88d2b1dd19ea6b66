"""The output: one JSON line a row, always as the journal says."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from attrs import define, field, frozen

from leyline.batch.errors import BatchError


@frozen(kw_only=True)
class Repair:
    """What was done so that the output is as it should be.

    kept, written: Lines that stood there already, and that did not. removed: Bytes that were there
    and should not have been, such as half of a line.
    """

    kept: int = 0
    written: int = 0
    removed: int = 0


@define(eq=False)
class OutputFile:
    """The file at *path*, held by one batch at a time until it is closed."""

    path: Path
    _stream: BinaryIO = field(init=False)

    def __attrs_post_init__(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._error("cannot be written", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise BatchError(
                str(self.path), "another batch writes to it; wait for it, or name another file"
            ) from error
        # Without a buffer: what was written is there, also if this process is killed.
        self._stream = os.fdopen(descriptor, "r+b", buffering=0)

    def close(self) -> None:
        """Let go of it. It stays, unless it is empty and was made for nothing."""
        self._stream.close()

    @property
    def size(self) -> int:
        """Bytes that are in it."""
        return os.fstat(self._stream.fileno()).st_size

    def repair(self, lines: Iterable[str]) -> Repair:
        """Make it hold exactly *lines*; what is right already is not written again."""
        wanted = (f"{line}\n".encode() for line in lines)
        try:
            kept, end, next_line = self._right_until(wanted)
            removed = self.size - end
            if removed:
                self._stream.truncate(end)
            self._stream.seek(end)
            written = 0
            if next_line is not None:
                self._write(next_line)
                written = 1 + self._write_all(wanted)
        except OSError as error:
            raise self._error("cannot be written", error) from error
        return Repair(kept=kept, written=written, removed=removed)

    def append(self, lines: Sequence[str]) -> None:
        """Write *lines* at its end, through to the file."""
        try:
            self._write("".join(f"{line}\n" for line in lines).encode())
        except OSError as error:
            raise self._error("cannot be written", error) from error

    def sync(self) -> None:
        """Have it survive a power cut as it is."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise self._error("cannot be written", error) from error

    def _right_until(self, wanted: Iterator[bytes]) -> tuple[int, int, bytes | None]:
        """Lines and bytes that are as *wanted*, and the first that is not there."""
        kept = end = 0
        with self.path.open("rb") as there:
            for line in wanted:
                if there.read(len(line)) != line:
                    return kept, end, line
                kept, end = kept + 1, end + len(line)
        return kept, end, None

    def _write_all(self, lines: Iterator[bytes]) -> int:
        count = 0
        for line in lines:
            self._write(line)
            count += 1
        return count

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._stream.write(left) or 0 :]

    def _error(self, what: str, error: OSError) -> BatchError:
        advice = "its results are in the journal; mend that and run the same command again"
        return BatchError(str(self.path), f"{what}: {error.strerror}; {advice}")


def check_paths(input_path: str | None, output: Path, journal: Path) -> None:
    """Raise BatchError where a batch must not write: over its own input, or into no plain file.

    input_path: None: the input is no file.
    """
    if output.exists() and not output.is_file():
        raise BatchError(str(output), "it is no plain file, and a batch needs one to go on with")
    if not output.absolute().parent.is_dir():
        raise BatchError(str(output), "its folder does not exist; make it first")
    if input_path is None:
        return
    for path in (output, journal):
        if Path(input_path).resolve() == path.resolve() or (
            path.exists() and path.samefile(input_path)
        ):
            raise BatchError(str(path), "it is the input; name another file for the output")
