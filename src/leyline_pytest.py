"""Fixtures for tests of programs that use leyline; pytest finds them where leyline is installed.

Nothing is done to a test that asks for none of them: there is no hook, no option, no automatic
fixture, and leyline itself is not loaded. They are for pytest with anyio's own plugin. A module of
tests in virtual time::

    @pytest.fixture
    def anyio_backend(leyline_virtual_backend):
        return leyline_virtual_backend

    @pytest.mark.anyio
    async def test_a_slow_service_is_left_for_another(leyline_registry):
        ScriptedService("slow", latency=600.0).register(leyline_registry)
        ScriptedService("fast", latency=1.0).register(leyline_registry)
        result = await leyline_registry.execute_with_failover("Hello", deadline=60)
        assert result.service == "fast"
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from leyline import Clock, ServiceRegistry


@pytest.fixture
def leyline_virtual_backend() -> tuple[str, dict[str, Any]]:
    """What a fixture ``anyio_backend`` returns, so that time jumps to the next timer."""
    from leyline.testing import VIRTUAL_BACKEND

    return VIRTUAL_BACKEND


@pytest.fixture
async def leyline_clock(anyio_backend: Any) -> "Clock":
    """The clock of the test's loop: virtual where its time is."""
    from leyline.testing import running_clock

    return running_clock()


@pytest.fixture
async def leyline_registry(leyline_clock: "Clock") -> "AsyncGenerator[ServiceRegistry, None]":
    """An open registry with nothing in it, whose quotas are kept in memory."""
    from leyline import ServiceRegistry

    async with ServiceRegistry(":memory:", clock=leyline_clock) as registry:
        yield registry


@pytest.fixture
def leyline_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps the quotas of registries that say nothing of their state out of the user's own."""
    state = tmp_path / "leyline-state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    return state
