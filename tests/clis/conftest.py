"""The real tools, each in a home of its own, before a provider on the loopback."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from leyline import ExecutionResult, ServiceConfig, ServiceRegistry
from leyline.config import UNSAID
from tests.clis import provider_api
from tests.clis.homes import MODELS, furnish
from tests.clis.provider_api import ProviderApi
from tests.tools import require


@pytest.fixture(autouse=True)
def silent_stdin() -> Iterator[None]:
    """Our own standard input is an open pipe on which nobody writes: no tool may wait for it."""
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        for descriptor in (saved, reading, writing):
            os.close(descriptor)


@pytest.fixture
def provider() -> Iterator[ProviderApi]:
    with provider_api.serve() as api:
        yield api


@frozen
class Ask:
    """Asks a real tool, with the preset that leyline ships for it."""

    registry: ServiceRegistry
    provider: ProviderApi
    home: Path
    monkeypatch: pytest.MonkeyPatch

    async def __call__(
        self, name: str, prompt: str = "Hello", *, timeout: float | None = UNSAID
    ) -> ExecutionResult:
        self.prepare(name)
        return await self.registry.execute(
            name, prompt, model=MODELS[name], timeout=timeout, cwd=self.home
        )

    def prepare(self, name: str, **variables: str) -> None:
        """Register the tool *name*; *variables* are added to those of its home."""
        require(name)
        for variable, value in {**furnish(name, self.home, self.provider.url), **variables}.items():
            self.monkeypatch.setenv(variable, value)
        # What one run of the tool does is looked at: not ours after it.
        self.registry.register(name, ServiceConfig(name, name, retry=None), replace=True)


@pytest.fixture
async def ask(
    provider: ProviderApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ask]:
    async with ServiceRegistry() as registry:
        yield Ask(registry, provider, tmp_path, monkeypatch)
