"""A runner in a lifespan of its own, and the shortest way to run something with it."""

import contextlib
import os
import resource
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from leyline.clock import SYSTEM_CLOCK
from leyline.model import Command, Completed
from leyline.process import MARKER, Lifespan, Runner

PROGRAMS = Path(__file__).parents[1] / "programs"


class Run(Protocol):
    def __call__(self, *argv: str, **fields: Any) -> Awaitable[Completed]: ...


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Meanwhile this process can open nothing more; what is open stays so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def run_with(runner: Runner, *argv: str, **fields: Any) -> Completed:
    workspace = runner.workspace("svc")
    env = {**os.environ, MARKER: workspace.marker, **fields.pop("env", {})}
    listener = fields.pop("listener", None)
    command = Command(argv=argv, env=env, tmpdir=workspace.tmpdir, **fields)
    return await runner.run("svc", workspace, command, listener=listener)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What runs make their folders in, in place of the system's."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
async def lifespan(temporary: Path) -> AsyncIterator[Lifespan]:
    async with Lifespan(SYSTEM_CLOCK) as lifespan:
        yield lifespan


@pytest.fixture
def run(lifespan: Lifespan) -> Run:
    return lambda *argv, **fields: run_with(lifespan.runner, *argv, **fields)
