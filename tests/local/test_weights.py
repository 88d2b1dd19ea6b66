"""The weights are joined once, and what stands in their place is always whole."""

import hashlib
import threading
from pathlib import Path
from types import ModuleType

import pytest

from leyline.local import weights
from leyline.local.errors import ErrorKind, LocalError

PARTS = (b"GGUF", b"second", b"third")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package of weights as the real one is, but small."""
    paths = [tmp_path / f"part{number}" for number in range(len(PARTS))]
    for path, data in zip(paths, PARTS, strict=True):
        path.write_bytes(data)
    module = ModuleType("weights_package")
    vars(module)["EXPECTED_SHA256"] = hashlib.sha256(b"".join(PARTS)).hexdigest()
    vars(module)["chunk_paths"] = lambda: paths
    monkeypatch.setattr(weights, "import_module", lambda _name: module)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return module


def test_the_parts_are_joined_in_the_users_cache_folder(package: ModuleType, tmp_path: Path):
    path = weights.find_weights()
    assert path.parent == tmp_path / "cache" / "leyline"
    assert path.read_bytes() == b"".join(PARTS)
    assert list(path.parent.iterdir()) == [path]


def test_the_second_call_joins_nothing(package: ModuleType):
    written = weights.find_weights().stat()
    again = weights.find_weights().stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_what_a_killed_process_left_is_overwritten(package: ModuleType):
    path = weights.find_weights()
    path.unlink()
    path.with_suffix(".part").write_bytes(b"x" * 1000)
    assert weights.find_weights().read_bytes() == b"".join(PARTS)
    assert list(path.parent.iterdir()) == [path]


def test_calls_at_the_same_moment_join_once(package: ModuleType, monkeypatch: pytest.MonkeyPatch):
    joined: list[Path] = []
    join = weights._join

    def counted(parts: list[Path], path: Path, expected: str) -> None:
        joined.append(path)
        join(parts, path, expected)

    monkeypatch.setattr(weights, "_join", counted)
    threads = [threading.Thread(target=weights.find_weights) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(joined) == 1


def test_damaged_parts_are_refused_and_leave_nothing(package: ModuleType, tmp_path: Path):
    package.chunk_paths()[1].write_bytes(b"broken")
    with pytest.raises(LocalError, match="damaged") as caught:
        weights.find_weights()
    assert caught.value.kind is ErrorKind.SERVER
    assert list((tmp_path / "cache" / "leyline").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(package: ModuleType, tmp_path: Path):
    (tmp_path / "cache").write_text("a file, where a folder should be")
    with pytest.raises(LocalError, match=str(tmp_path / "cache")):
        weights.find_weights()


def test_a_relative_cache_folder_is_ignored(
    package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.find_weights().parent == tmp_path / ".cache" / "leyline"
