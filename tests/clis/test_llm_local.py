"""A real tool, with its shipped preset, answered by the real model that runs on this machine."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from leyline import ServiceConfig, ServiceRegistry
from tests.clis.homes import MODELS, furnish
from tests.tools import require

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

TOKENS = 16


@pytest.fixture
def model_url() -> Iterator[str]:
    """Where ``leyline-local serve`` listens; its answers have at most ``TOKENS`` tokens."""
    command = [sys.executable, "-m", "leyline.local", "serve", "--max-tokens", str(TOKENS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().removeprefix("listening on ").strip()
        finally:
            server.terminate()


async def test_llm_is_answered_by_the_local_model(
    model_url: str, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    require("llm")
    for variable, value in furnish("llm", tmp_path, model_url).items():
        monkeypatch.setenv(variable, value)
    async with ServiceRegistry() as registry:
        registry.register("llm", ServiceConfig("llm", "llm"))
        result = await registry.execute(
            "llm", "The capital of France is", model=MODELS["llm"], timeout=200
        )
    assert result.success, (result.failure, result.stderr)
    assert result.text.strip()
    assert result.usage.measured
    assert result.usage.input_tokens > 0
    assert 0 < result.usage.output_tokens <= TOKENS
    assert result.tokens_used == result.usage.input_tokens + result.usage.output_tokens
