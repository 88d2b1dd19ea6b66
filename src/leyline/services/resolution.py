"""From what was said of a service to all that is known of it."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, fields

from leyline.config import OutputConfig, OutputFormat, ServiceConfig
from leyline.errors import ConfigError
from leyline.plain import at, shown
from leyline.services.presets import preset_for, read_preset

_OF_THE_TEMPLATE: Final = ("files_via", "file_args", "stream_template", "stream")
"""What belongs to the preset's own command line, and says nothing of another one."""


def resolve(config: ServiceConfig) -> ServiceConfig:
    """*config* with everything it leaves unsaid taken from the preset of its tool.

    ``env`` and ``exit_codes`` are merged, ``error_patterns`` and ``retry_notices`` are asked before
    the preset's. A ``command_template`` or ``stream_template`` of its own takes over the preset's
    output only as far as it still looks like it; the first is the one of streamed runs too.
    Raises ConfigError with every problem of *config*, each with its path.
    """
    said = {
        attribute.name: getattr(config, attribute.name)
        for attribute in fields(ServiceConfig)
        if attribute.name not in config.unsaid and attribute.name != "unsaid"
    }
    return build(config.name, said, at("services", config.name))


def build(name: str, given: Mapping[str, Any], path: str) -> ServiceConfig:
    """The resolved service *name*, of which *given* says something.

    Raises ConfigError with every problem, each with its *path*.
    """
    # cattrs takes its time to load; a program that registers nothing need not wait for it
    from leyline.services.structure import structure_fields
    from leyline.services.validation import problems_of

    said, problems = structure_fields(given, path)
    preset: str | None = None
    try:
        preset = preset_for(said.get("command", name), said.get("preset"), path)
    except ConfigError as error:
        problems.extend(error.problems)
    base: Mapping[str, Any] = _preset_fields(preset) if preset else {}
    if said.get("name", name) != name:
        problems.append(f"{path}.name: must be {shown(name)}, as the service is called")
    wrong = given.keys() - said.keys()  # there is nothing more to say of these
    if "command" not in given and "command" not in base:
        problems.append(f"{path}.command: is missing; set it to the name or path of a program")
        wrong.add("command")
    merged: dict[str, Any] = {"command": "", **_merged(base, said), "name": str(name)}
    config = ServiceConfig(**merged)
    problems += [
        f"{at(path, field)}{problem}"
        for field, problem in problems_of(config)
        if field not in wrong
    ]
    if problems:
        raise ConfigError(tuple(problems))
    return config


@functools.cache
def _preset_fields(name: str) -> Mapping[str, Any]:
    from leyline.services.structure import structure_fields

    said, problems = structure_fields(read_preset(name), f"presets.{name}")
    if problems:
        raise ConfigError(tuple(problems))
    return said


def _merged(base: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **said}
    if "command_template" in said:
        for name in _OF_THE_TEMPLATE:
            if name not in said:
                merged.pop(name, None)
        if "output" in base and "output" not in said:
            merged["output"] = _whatever_comes(base["output"])
    elif "stream_template" in said and "stream" in base and "stream" not in said:
        output = _whatever_comes(base["stream"].output or base["output"])
        merged["stream"] = evolve(base["stream"], output=output)
    for name in ("env", "exit_codes"):
        if name in base and name in said:
            merged[name] = {**base[name], **said[name]}
    for name in ("error_patterns", "retry_notices"):
        if name in base and name in said:
            merged[name] = tuple(dict.fromkeys((*said[name], *base[name])))
    return merged


def _whatever_comes(output: OutputConfig) -> OutputConfig:
    return evolve(output, format=OutputFormat.AUTO)
