"""A runner in a lifespan of its own, and the shortest way to run something with it."""

import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import pytest

from leyline.clock import SYSTEM_CLOCK
from leyline.model import Command, Completed
from leyline.process import MARKER, Lifespan, Runner

PROGRAMS = Path(__file__).parents[1] / "programs"


class Run(Protocol):
    def __call__(self, *argv: str, **fields: Any) -> Awaitable[Completed]: ...


async def run_with(runner: Runner, *argv: str, **fields: Any) -> Completed:
    workspace = runner.workspace()
    env = {**os.environ, MARKER: workspace.marker, **fields.pop("env", {})}
    listener = fields.pop("listener", None)
    command = Command(argv=argv, env=env, tmpdir=workspace.tmpdir, **fields)
    return await runner.run("svc", workspace, command, listener=listener)


@pytest.fixture
async def lifespan() -> AsyncIterator[Lifespan]:
    async with Lifespan(SYSTEM_CLOCK) as lifespan:
        yield lifespan


@pytest.fixture
def run(lifespan: Lifespan) -> Run:
    return lambda *argv, **fields: run_with(lifespan.runner, *argv, **fields)
