"""What the real tools answer, and what they say it cost, through the presets that are shipped."""

import pytest
from attrs import evolve

from leyline.model import Usage
from tests.clis.conftest import Ask
from tests.clis.homes import MODELS
from tests.clis.provider_api import USAGE, ProviderApi, answer_to

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

NASTY = "it's {x} $(id) \" --yolo"


def as_told_by(name: str, usage: Usage) -> Usage:
    """*usage*, as far as the tool *name* reports it."""
    if name == "claude":  # counts reasoning as output, and knows prices
        return evolve(usage, reasoning_tokens=0, cost_usd=pytest.approx(0.0041, abs=0.0005))
    return usage


@pytest.mark.parametrize("name", MODELS)
async def test_a_nasty_prompt_arrives_unchanged_and_is_answered_and_counted(
    ask: Ask, provider: ProviderApi, name: str
):
    result = await ask(name, NASTY)
    assert result.success, (result.failure, result.stderr)
    heard = provider.requests[0].prompt
    if name == "qwen":  # it puts two line feeds after what it reads
        assert heard.removesuffix("\n\n") == NASTY
    else:
        assert heard == NASTY
    assert result.text == answer_to(heard)
    assert result.usage == as_told_by(name, USAGE)
    assert result.tokens_used == USAGE.total_tokens
    assert (result.model, result.exit_code) == (MODELS[name], 0)
    assert [request.model for request in provider.requests] == [MODELS[name]]


@pytest.mark.parametrize("name", MODELS)
async def test_an_answer_that_talks_about_errors_is_an_answer(
    ask: Ask, provider: ProviderApi, name: str
):
    provider.answer = (
        "HTTP 429 means: rate limit, quota exceeded, you've hit your usage limit. "
        "401 is an invalid API key. [API Error: 500 Internal server error]"
    )
    result = await ask(name)
    assert result.success, result.failure
    assert result.text == provider.answer


@pytest.mark.parametrize("name", MODELS)
async def test_a_file_is_read_and_sent(ask: Ask, provider: ProviderApi, name: str):
    file = ask.home / "a file.txt"
    file.write_text("the word is xyzzy\n" * 3000)
    ask.prepare(name)
    await ask.registry.execute(name, "What is the word?", [file], model=MODELS[name])
    assert provider.requests[0].prompt.count("the word is xyzzy") == 3000
