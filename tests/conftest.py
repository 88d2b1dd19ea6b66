"""Fixtures that every test may use."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest

# In CI the same examples each time; new ones are found by those who can look into them.
hypothesis.settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


def pytest_configure() -> None:
    """Hear interrupts, also where a shell started the tests in the background: ours inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """asyncio alone: aiolimiter, which paces the quotas, runs on nothing else."""
    return "asyncio"


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own quotas."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"
