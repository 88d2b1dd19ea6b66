"""What leyline knows of each tool: one data file a tool, read when it is first needed."""

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from leyline.errors import ConfigError
from leyline.plain import shown, suggestion

_ORDER: Final = (
    "gemini", "claude", "codex", "qwen", "llm", "opencode", "copilot", "vibe", "local",
)  # fmt: skip
"""The order in which tools are named and looked for; others follow by name."""


@functools.cache
def preset_names() -> tuple[str, ...]:
    """Names of the tools that leyline knows."""
    found = {
        file.name.removesuffix(".toml")
        for file in _folder().iterdir()
        if file.name.endswith(".toml")
    }
    known = [name for name in _ORDER if name in found]
    return (*known, *sorted(found.difference(_ORDER)))


@functools.cache
def read_preset(name: str) -> Mapping[str, Any]:
    """What the file of the preset *name* says, as it stands there."""
    return tomllib.loads(_folder().joinpath(f"{name}.toml").read_text("utf-8"))


def preset_for(command: str, preset: str | None, path: str) -> str | None:
    """The name of the preset for *command*, or the one asked for; None if there is none.

    Raises ConfigError if *preset* names none.
    """
    if preset is None:
        return recognise(command)
    if not preset:
        return None
    if preset not in preset_names():
        hint = suggestion(preset, preset_names())
        raise ConfigError((f"{path}.preset: unknown preset {shown(preset)}; {hint}",))
    return preset


def recognise(command: str) -> str | None:
    """The preset of the tool that *command* names, by the name of its program."""
    program = Path(command).name
    for name in preset_names():
        if program in (name, Path(read_preset(name)["command"]).name):
            return name
    return None


def _folder() -> Any:
    return resources.files("leyline.services").joinpath("presets")
