"""A call is checked before anything starts, and its files go in as the tool takes them."""

import errno
import os
from pathlib import Path

import pytest
from attrs import evolve

from leyline.calls.prompt import check, compose, estimate
from leyline.config import FilesVia, ServiceConfig
from leyline.errors import InvalidCallError
from leyline.model import BoundCall

PLAIN = ServiceConfig("svc", "svc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("text of a\n")
    (tmp_path / "b c.txt").write_text("text of b")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    (tmp_path / "sub").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("config", "call", "message"),
    [
        (PLAIN, BoundCall(prompt=""), "prompt is empty"),
        (PLAIN, BoundCall(prompt=" \t\n"), "prompt is empty"),
        (ServiceConfig("svc", "x", models=("big",)), BoundCall(prompt="x", model="bog"), '"big"'),
        (
            ServiceConfig("svc", "x", models=("big",)),
            BoundCall(prompt="x", model="q"),
            "known: big",
        ),
        (PLAIN, BoundCall(prompt="x", timeout=0.0), "positive number of seconds"),
        (PLAIN, BoundCall(prompt="x", timeout=float("nan")), "positive number of seconds"),
        (PLAIN, BoundCall(prompt="x", cwd="/no/such"), "working directory"),
        (PLAIN, BoundCall(prompt="x", files=("gone",)), 'file "gone" does not exist'),
        (PLAIN, BoundCall(prompt="x", files=("sub",)), "is a directory; name the files in it"),
        (PLAIN, BoundCall(prompt="x", files=("a.txt/b",)), 'file "a.txt/b" does not exist'),
        (PLAIN, BoundCall(prompt="x", files=("a\0b",)), "does not exist"),
        (PLAIN, BoundCall(prompt="x", files=("a" * 300,)), "cannot be read: File name too long"),
        (PLAIN, BoundCall(prompt="x", cwd="a" * 300), "working directory"),
        (
            ServiceConfig("svc", "x", supports_files=False),
            BoundCall(prompt="x", files=("a.txt",)),
            "no",
        ),
    ],
)
def test_mistakes_that_can_be_known_are_told(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: ServiceConfig,
    call: BoundCall,
    message: str,
):
    monkeypatch.chdir(folder)
    with pytest.raises(InvalidCallError, match=message):
        check(config, call, takes_files=True)


def test_a_good_call_passes(folder: Path):
    call = BoundCall(prompt="x", files=("a.txt", str(folder / "b c.txt")), cwd=str(folder))
    check(PLAIN, call, takes_files=True)
    check(ServiceConfig("svc", "x", files_via=FilesVia.INLINE), call, takes_files=False)
    check(PLAIN, BoundCall(prompt="x", model="any", timeout=None), takes_files=False)


def test_files_that_have_no_place_in_the_command_are_not_dropped_silently(folder: Path):
    call = BoundCall(prompt="x", files=("a.txt",), cwd=str(folder))
    with pytest.raises(InvalidCallError, match="no place for files; put {files} into it"):
        check(PLAIN, call, takes_files=False)


@pytest.mark.parametrize(
    ("via", "text"),
    [
        (FilesVia.ARGUMENT, "look"),
        (FilesVia.REFERENCE, "look\n\n@a.txt @b\\ c.txt"),
        (FilesVia.INLINE, "look\n\n--- a.txt ---\ntext of a\n\n\n--- b c.txt ---\ntext of b"),
    ],
)
def test_files_go_in_as_the_tool_takes_them(folder: Path, via: FilesVia, text: str):
    config = ServiceConfig("svc", "x", files_via=via)
    call = BoundCall(prompt="look", files=("a.txt", "b c.txt"), cwd=str(folder))
    assert compose(config, call) == text
    assert compose(config, BoundCall(prompt="look")) == "look"


def test_a_file_that_is_not_text_cannot_be_put_into_a_prompt(folder: Path):
    config = ServiceConfig("svc", "x", files_via=FilesVia.INLINE)
    with pytest.raises(InvalidCallError, match="is not text"):
        compose(config, BoundCall(prompt="look", files=("binary",), cwd=str(folder)))


def test_a_pipe_is_no_plain_file_and_nobody_waits_for_what_comes_out_of_it(folder: Path):
    os.mkfifo(folder / "pipe")
    call = BoundCall(prompt="x", files=("pipe",), cwd=str(folder))
    with pytest.raises(InvalidCallError, match="is no plain file; save what comes from it first"):
        check(PLAIN, call, takes_files=True)


def test_a_file_that_is_gone_meanwhile_is_not_estimated(folder: Path):
    call = BoundCall(prompt="look", files=("gone", "a.txt"), cwd=str(folder))
    assert estimate(call) == estimate(evolve(call, files=("a.txt",)))


def test_a_file_that_can_be_opened_but_not_read_is_a_mistake_of_the_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_text", fails)
    config = ServiceConfig("svc", "x", files_via=FilesVia.INLINE)
    with pytest.raises(InvalidCallError, match='"a.txt" cannot be read: Input/output error'):
        compose(config, BoundCall(prompt="look", files=("a.txt",), cwd=str(folder)))
