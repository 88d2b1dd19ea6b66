"""What the values of a configuration have to be, beyond their types."""

import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from attrs import asdict

from leyline.config import AuthMethod, OutputConfig, ServiceConfig
from leyline.errors import ConfigError
from leyline.services.plain import shown
from leyline.template import CommandTemplate

_LIMITS: Final = {
    "rpm": True,
    "rpd": True,
    "daily": True,
    "tpm": False,
    "tpd": False,
    "concurrent": True,
}
"""Limits of a quota, and whether they count in whole numbers."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_POSITIVE: Final = ("max_context", "timeout_seconds", "max_output_bytes")


def problems_of(config: ServiceConfig, path: str) -> Iterator[str]:
    """Every problem with the values of *config*, whose types are right, each with its path."""
    for problem in (
        *_texts(config),
        *_numbers(config),
        *_quota(config.quota_limits),
        *_commands(config),
        *_environment(config),
        *_output(config.output),
        *_errors(config),
    ):
        yield f"{path}.{problem}"


def _texts(config: ServiceConfig) -> Iterator[str]:
    if not config.name.strip() or not config.name.isprintable():
        yield f"name: expected a name, got {shown(config.name)}"
    if not config.command.strip():
        yield "command: expected the name or path of a program, got nothing"
    methods = [method.value for method in AuthMethod]
    if config.auth_method not in methods:
        close = get_close_matches(config.auth_method, methods, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        yield (
            f"auth_method: expected one of {', '.join(methods)}; "
            f"got {shown(config.auth_method)}{hint}"
        )
    if config.auth_env_var and not _VARIABLE.fullmatch(config.auth_env_var):
        yield (  # whatever stands there may be a key: it is not shown
            "auth_env_var: expected the name of an environment variable, such as GEMINI_API_KEY; "
            "a key itself must not stand in a configuration"
        )
    for number, model in enumerate(config.models):
        if not model.strip():
            yield f"models[{number}]: expected the name of a model, got {shown(model)}"
    if config.models and config.default_model and config.default_model not in config.models:
        yield f"default_model: {shown(config.default_model)} is not one of the models"


def _numbers(config: ServiceConfig) -> Iterator[str]:
    for name in _POSITIVE:
        value = getattr(config, name)
        if value is not None and not value > 0:
            yield f"{name}: expected a positive number, got {shown(value)}"
    if config.grace_seconds < 0:
        yield f"grace_seconds: expected zero or more, got {shown(config.grace_seconds)}"


def _quota(limits: Mapping[str, Any]) -> Iterator[str]:
    for name, value in limits.items():
        where = f"quota_limits.{name}"
        if name not in _LIMITS:
            close = get_close_matches(str(name), _LIMITS, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"known: {', '.join(_LIMITS)}"
            yield f"{where}: unknown limit; {hint}"
        elif (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or value <= 0
        ):
            yield f"{where}: expected a positive number, got {shown(value)}"
        elif _LIMITS[name] and value != int(value):
            yield f"{where}: expected a whole number, got {shown(value)}"
    if "rpd" in limits and "daily" in limits:
        yield "quota_limits.daily: is another name for rpd; give only one of them"


def _commands(config: ServiceConfig) -> Iterator[str]:
    yield from _template("command_template", config.command_template)
    for name in ("auth_check_cmd", "health_check_cmd", "version_cmd"):
        if line := getattr(config, name):
            yield from _template(name, line, placeholders=("command",))
    if not any("{file}" in argument for argument in config.file_args):
        yield 'file_args: expected an element with "{file}" in it, so that the file is named'


def _template(name: str, line: str, **options: Any) -> Iterator[str]:
    try:
        CommandTemplate.parse(line, **options)
    except ConfigError as error:
        for problem in error.problems:
            yield f"{name}: {problem}"


def _environment(config: ServiceConfig) -> Iterator[str]:
    for name, value in config.env.items():
        if not name or "=" in name or "\0" in name:
            yield f"env: {shown(name)} cannot be the name of an environment variable"
        if "\0" in value:
            yield f"env.{name}: a NUL character cannot be part of an environment variable"
    for number, name in enumerate(config.unset_env):
        if not name or "=" in name:
            yield f"unset_env[{number}]: {shown(name)} cannot be the name of a variable"


def _output(output: OutputConfig) -> Iterator[str]:
    expressions = {
        name: text
        for name, text in asdict(output, recurse=False).items()
        if text and name not in ("format", "files")
    }
    if not expressions:
        return
    import jmespath  # noqa: PLC0415  (only for tools that answer in JSON)
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    for name, text in expressions.items():
        try:
            jmespath.compile(text)
        except JMESPathError as error:
            yield f"output.{name}: {' '.join(str(error).split())}"


def _errors(config: ServiceConfig) -> Iterator[str]:
    for number, pattern in enumerate(config.error_patterns):
        where = f"error_patterns[{number}]"
        try:
            re.compile(pattern.match)
        except (re.error, OverflowError, RecursionError) as error:
            yield f"{where}.match: not a regular expression: {error}"
        if not pattern.match:
            yield f"{where}.match: expected a regular expression, got nothing"
        if not pattern.where:
            yield f"{where}.where: expected at least one place to search, got none"
    for code in config.exit_codes:
        if not -64 <= code <= 255:
            yield f"exit_codes[{code}]: expected an exit status from 0 to 255, or minus a signal"
