"""What the real tools say of themselves, through the checks of the presets that are shipped."""

import pytest

from leyline.model import HealthStatus
from tests.clis.conftest import Ask
from tests.clis.homes import MODELS
from tests.clis.provider_api import ProviderApi

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


@pytest.mark.parametrize("name", MODELS)
async def test_a_check_finds_the_version_and_sends_no_prompt(
    ask: Ask, provider: ProviderApi, name: str
):
    ask.prepare(name)
    report = await ask.registry.health_check(name)
    assert report.installed
    assert any(character.isdigit() for character in report.version), report
    assert provider.requests == []


async def test_a_key_in_the_environment_is_a_login_for_claude(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    ask.prepare("claude")
    assert (await ask.registry.health_check("claude")).authenticated is True
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    report = await ask.registry.health_check("claude")
    assert (report.authenticated, report.status) == (False, HealthStatus.UNHEALTHY)
    assert report.reason


async def test_codex_says_that_nobody_is_logged_in(ask: Ask):
    ask.prepare("codex")
    report = await ask.registry.health_check("codex")
    assert (report.authenticated, report.status) == (False, HealthStatus.UNHEALTHY)
