"""What the real tools make of a provider that refuses, and what leyline makes of that."""

import pytest

from leyline.model import FailureKind
from tests.clis.conftest import Ask
from tests.clis.provider_api import Mode, ProviderApi

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

K = FailureKind


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("gemini", Mode.RATE_LIMIT, K.RATE_LIMITED),
        ("gemini", Mode.DAILY_QUOTA, K.QUOTA_EXHAUSTED),
        ("gemini", Mode.BAD_KEY, K.AUTH),
        ("gemini", Mode.SERVER_ERROR, K.SERVER),
        ("gemini", Mode.OVERLOADED, K.OVERLOADED),
        ("gemini", Mode.NO_MODEL, K.MODEL_NOT_FOUND),
        ("gemini", Mode.TOO_LONG, K.CONTEXT_TOO_LONG),
        ("gemini", Mode.CUT, K.NETWORK),  # exit status 0, beside a part of the answer
        ("claude", Mode.RATE_LIMIT, K.RATE_LIMITED),
        ("claude", Mode.CREDIT, K.CREDIT),
        ("claude", Mode.BAD_KEY, K.AUTH),
        ("claude", Mode.SERVER_ERROR, K.SERVER),
        ("claude", Mode.OVERLOADED, K.OVERLOADED),
        ("claude", Mode.NO_MODEL, K.MODEL_NOT_FOUND),
        ("claude", Mode.TOO_LONG, K.CONTEXT_TOO_LONG),
        ("claude", Mode.DROP, K.NETWORK),
        ("codex", Mode.RATE_LIMIT, K.RATE_LIMITED),
        ("codex", Mode.DAILY_QUOTA, K.QUOTA_EXHAUSTED),
        ("codex", Mode.CREDIT, K.CREDIT),
        ("codex", Mode.BAD_KEY, K.AUTH),
        ("codex", Mode.SERVER_ERROR, K.OVERLOADED),  # it words every 500 as high demand
        ("codex", Mode.NO_MODEL, K.MODEL_NOT_FOUND),
        ("codex", Mode.TOO_LONG, K.CONTEXT_TOO_LONG),
        ("codex", Mode.CUT, K.NETWORK),
        ("qwen", Mode.CREDIT, K.CREDIT),  # these with exit status 0
        ("qwen", Mode.BAD_KEY, K.AUTH),
        ("qwen", Mode.NO_MODEL, K.MODEL_NOT_FOUND),
        ("qwen", Mode.TOO_LONG, K.CONTEXT_TOO_LONG),
        ("llm", Mode.RATE_LIMIT, K.RATE_LIMITED),
        ("llm", Mode.DAILY_QUOTA, K.QUOTA_EXHAUSTED),
        ("llm", Mode.CREDIT, K.CREDIT),
        ("llm", Mode.BAD_KEY, K.AUTH),
        ("llm", Mode.SERVER_ERROR, K.SERVER),
        ("llm", Mode.NO_MODEL, K.MODEL_NOT_FOUND),
        ("llm", Mode.TOO_LONG, K.CONTEXT_TOO_LONG),
    ],
)
async def test_every_refusal_has_its_kind(
    ask: Ask, provider: ProviderApi, name: str, mode: Mode, kind: FailureKind
):
    provider.mode = mode
    result = await ask(name)
    assert not result.success
    assert result.text == ""
    assert result.failure
    assert (result.failure.kind, bool(result.failure.message)) == (kind, True), result.stderr
    assert provider.requests


@pytest.mark.parametrize("name", ["gemini", "llm"])
async def test_the_delay_that_a_provider_names_is_passed_on(
    ask: Ask, provider: ProviderApi, name: str
):
    provider.mode, provider.retry_after = Mode.RATE_LIMIT, 1
    result = await ask(name)
    assert result.failure
    assert (result.failure.kind, result.failure.retry_after) == (K.RATE_LIMITED, 1.0)


async def test_the_reset_of_a_claude_subscription_is_passed_on(
    ask: Ask, provider: ProviderApi, monkeypatch: pytest.MonkeyPatch
):
    provider.mode = Mode.PLAN_LIMIT
    ask.prepare("claude", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-of-the-loopback")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    result = await ask.registry.execute("claude", "Hello")
    assert result.failure
    assert (result.failure.kind, result.failure.until) == (K.QUOTA_EXHAUSTED, provider.resets_at)
    assert len(provider.requests) == 1


async def test_the_reset_of_a_codex_plan_is_passed_on(ask: Ask, provider: ProviderApi):
    provider.mode = Mode.PLAN_LIMIT
    result = await ask("codex")
    assert result.failure
    assert result.failure.kind is K.QUOTA_EXHAUSTED
    assert result.failure.until == pytest.approx(provider.resets_at, abs=60)  # it tells minutes


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_inner_retries_are_switched_off_where_they_can_be(
    ask: Ask, provider: ProviderApi, name: str
):
    """Else claude asks eleven times in three minutes."""
    provider.mode = Mode.SERVER_ERROR
    await ask(name)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("mode", [Mode.RATE_LIMIT, Mode.SERVER_ERROR])
async def test_a_tool_that_retries_without_end_is_stopped_in_time(
    ask: Ask, provider: ProviderApi, mode: Mode
):
    provider.mode = mode
    result = await ask("qwen", timeout=6)
    assert result.failure
    assert result.failure.kind is K.TIMEOUT
    assert provider.requests


async def test_a_command_of_the_tool_is_no_answer(ask: Ask, provider: ProviderApi):
    """Claude Code takes what begins with a slash for a command of its own, and "succeeds"."""
    result = await ask("claude", "/nothing of the kind")
    assert result.failure
    assert result.failure.kind is K.BAD_REQUEST
    assert "Unknown command" in result.failure.message
    assert provider.requests == []
