"""Home folders in which the real tools talk to the provider on the loopback, and to no one else."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

MODELS: Final[Mapping[str, str]] = {
    "gemini": "gemini-2.5-flash",
    "claude": "claude-sonnet-4-5",
    "codex": "gpt-5",
    "qwen": "loopback-1",
    "llm": "loopback-1",
}
"""The tools tested live, and the model that each is asked for."""

KEY: Final = "key-for-the-loopback"


def furnish(name: str, home: Path, url: str) -> dict[str, str]:
    """Make *home* one in which the tool *name* asks the provider at *url*.

    Returns the variables that the tool needs. Inner retries that only a file of the user can
    switch off are switched off, to save time; see ``let_it_retry``.
    """
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **_FURNISH[name](home, url),
    }


def let_it_retry(name: str, home: Path) -> None:
    """Take back what in the files of *home* switches the inner retries of the tool *name* off."""
    file, switches = _RETRY_SWITCHES.get(name, ("", ()))
    for switch in switches:
        said = (home / file).read_text()
        assert switch in said
        (home / file).write_text(said.replace(switch, ""))


_RETRY_SWITCHES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "gemini": (".gemini/settings.json", ('"maxAttempts": 1, ',)),
    "codex": (
        ".codex/config.toml",
        ("request_max_retries = 0\n", "stream_max_retries = 0\n"),
    ),
}


def _gemini(home: Path, url: str) -> dict[str, str]:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"maxAttempts": 1, "enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
    }
    _write(home / ".gemini" / "settings.json", json.dumps(settings))
    return {
        "GEMINI_CLI_HOME": str(home),
        "GEMINI_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": url,
    }


def _claude(home: Path, url: str) -> dict[str, str]:
    return {
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": url,
    }


def _codex(home: Path, url: str) -> dict[str, str]:
    config = f"""\
model_provider = "loopback"
check_for_update_on_startup = false

[model_providers.loopback]
name = "loopback"
base_url = "{url}/v1"
env_key = "LOOPBACK_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
    _write(home / ".codex" / "config.toml", config)
    return {"CODEX_HOME": str(home / ".codex"), "LOOPBACK_KEY": KEY}


def _qwen(home: Path, url: str) -> dict[str, str]:
    settings = {
        "security": {"auth": {"selectedType": "openai"}},
        "memory": {"enableManagedAutoMemory": False},
        "privacy": {"usageStatisticsEnabled": False},
    }
    _write(home / ".qwen" / "settings.json", json.dumps(settings))
    return {
        "QWEN_HOME": str(home / ".qwen"),
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{url}/v1",
    }


def _llm(home: Path, url: str) -> dict[str, str]:
    model = MODELS["llm"]
    entry = f'- model_id: {model}\n  model_name: {model}\n  api_base: "{url}/v1"\n'
    _write(home / "llm" / "extra-openai-models.yaml", entry)
    return {"LLM_USER_PATH": str(home / "llm"), "OPENAI_API_KEY": KEY}


_FURNISH: Final[Mapping[str, Callable[[Path, str], dict[str, str]]]] = {
    "gemini": _gemini,
    "claude": _claude,
    "codex": _codex,
    "qwen": _qwen,
    "llm": _llm,
}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
