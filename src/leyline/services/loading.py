"""Services from a file, a mapping and the environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leyline.config import ServiceConfig
from leyline.errors import ConfigError
from leyline.plain import at, is_mapping, shown
from leyline.services.files import find_config_file, read_config_file, services_of
from leyline.services.presets import preset_names, read_preset, recognise
from leyline.services.resolution import build


def load(path: str | os.PathLike[str] | None = None) -> dict[str, ServiceConfig]:
    """The services of a file, in its order, with everything filled in.

    path: None reads the file that ``find_config_file`` finds; where there is none, the tools that
        the environment speaks of (``GEMINI_COMMAND``, ``GEMINI_API_KEY``) are the services.
    In either case ``NAME_COMMAND`` in the environment is the command of the service *name*.
    Raises ConfigError with every problem of the file.
    """
    file = find_config_file() if path is None else Path(path)
    if file is None:
        return from_mapping(_of_environment(), source="the environment")
    source = str(file)
    services, problems = services_of(read_config_file(file), source)
    configs: dict[str, ServiceConfig] = {}
    try:
        configs = from_mapping(services, source=source)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(tuple(problems), source)
    return configs


def from_mapping(
    services: Mapping[Any, Any], *, source: str = "", environ: Mapping[str, str] | None = None
) -> dict[str, ServiceConfig]:
    """The services of a mapping from names to what is said of them, with everything filled in.

    source: Where they come from, for messages. environ: None means the environment of now.
    Raises ConfigError with every problem of all of them.
    """
    if not is_mapping(services):
        problem = f"services: expected a mapping from names to services, got {shown(services)}"
        raise ConfigError((problem,), source)
    environ = os.environ if environ is None else environ
    configs: dict[str, ServiceConfig] = {}
    problems: list[str] = []
    for name, said in services.items():
        path = at("services", name)
        if not isinstance(name, str):
            problems.append(f"{path}: expected text for a name, got {shown(name)}")
            continue
        if said is not None and not is_mapping(said):
            problems.append(f"{path}: expected a mapping, got {shown(said)}")
            continue
        given: dict[Any, Any] = {**(said or {})}  # a name alone: the tool of that name
        if command := environ.get(f"{_variable(name)}_COMMAND"):
            _override(given, name, command)
        try:
            configs[name] = build(name, given, path)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(tuple(problems), source)
    return configs


def _override(given: dict[Any, Any], name: str, command: str) -> None:
    """Let *command* run in place of what is *given*; it stays the same tool, whatever its name."""
    said = given.get("command", name)
    if given.get("preset") is None and isinstance(said, str) and (tool := recognise(said)):
        given["preset"] = tool
    given["command"] = command


def _of_environment() -> dict[str, Any]:
    return {
        name: None
        for name in preset_names()
        if os.environ.get(f"{_variable(name)}_COMMAND")
        or os.environ.get(str(read_preset(name).get("auth_env_var", "")))
    }


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())
