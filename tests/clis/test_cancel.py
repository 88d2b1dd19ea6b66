"""A real tool that waits for a silent provider is stopped, with everything that it started."""

import os
from pathlib import Path

import anyio
import pytest

from tests.clis.conftest import Ask
from tests.clis.homes import MODELS
from tests.clis.provider_api import Mode, ProviderApi
from tests.processes import is_alive
from tests.tools import require

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


def living_in(home: Path) -> list[int]:
    """The processes whose environment names *home*: a tool and all that it started."""
    wanted = f"HOME={home}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                environment = Path(entry.path, "environ").read_bytes()
            except OSError:
                continue
            if wanted in environment.split(b"\0") and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("name", MODELS)
async def test_a_cancelled_tool_leaves_no_process(ask: Ask, provider: ProviderApi, name: str):
    require(name)
    provider.mode = Mode.HANG
    async with anyio.create_task_group() as group:
        group.start_soon(ask, name)
        with anyio.fail_after(60):
            while not provider.requests:
                await anyio.sleep(0.05)
        assert living_in(ask.home)
        group.cancel_scope.cancel()
    with anyio.fail_after(30):
        while living_in(ask.home):
            await anyio.sleep(0.05)
