"""What the values of a configuration have to be, beyond their types."""

import re
import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, cast

from attrs import asdict

from leyline.config import AuthMethod, OutputConfig, ServiceConfig, Stream, StreamConfig
from leyline.errors import ConfigError
from leyline.plain import is_mapping, printable, shown, suggestion
from leyline.quota_limits import read_quota_limits
from leyline.template import CHECK_PLACEHOLDERS, CommandTemplate

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_POSITIVE: Final = ("max_context", "timeout_seconds", "max_output_bytes")

_DOCUMENTS: Final = ("out", "err")
"""What an expression sees besides the files of ``output.files``."""

Problem = tuple[str, str]
"""The field, and the rest: where in it, a colon, what is wrong."""


def problems_of(config: ServiceConfig) -> Iterator[Problem]:
    """Every problem with the values of *config*, whose types are right."""
    yield from _texts(config)
    yield from _numbers(config)
    yield from _quota(config)
    yield from _commands(config)
    yield from _environment(config)
    yield from _output("output", "", config.output)
    yield from _stream(config.stream)
    yield from _errors(config)


def _texts(config: ServiceConfig) -> Iterator[Problem]:
    if not config.name.strip() or not config.name.isprintable():
        yield "name", f": expected a name, got {shown(config.name)}"
    if not config.command.strip():
        yield "command", ": expected the name or path of a program, got nothing"
    methods = [method.value for method in AuthMethod]
    if config.auth_method not in methods:
        close = get_close_matches(config.auth_method, methods, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        got = shown(config.auth_method)
        yield "auth_method", f": expected one of {', '.join(methods)}; got {got}{hint}"
    if config.auth_env_var and not _VARIABLE.fullmatch(config.auth_env_var):
        expected = "the name of an environment variable, such as GEMINI_API_KEY"
        hint = "a key itself must not stand in a configuration"  # so it is not shown
        yield "auth_env_var", f": expected {expected}; {hint}"
    for number, model in enumerate(config.models):
        if not model.strip():
            yield "models", f"[{number}]: expected the name of a model, got {shown(model)}"
    if config.models and config.default_model and config.default_model not in config.models:
        yield "default_model", f": {shown(config.default_model)} is not one of the models"


def _numbers(config: ServiceConfig) -> Iterator[Problem]:
    for name in _POSITIVE:
        value = getattr(config, name)
        if value is not None and not value > 0:
            yield name, f": expected a positive number, got {shown(value)}"
    if config.grace_seconds < 0:
        yield "grace_seconds", f": expected zero or more, got {shown(config.grace_seconds)}"


def _quota(config: ServiceConfig) -> Iterator[Problem]:
    _, problems = read_quota_limits(config.quota_limits)
    for path, words in problems:
        yield "quota_limits", f"{path}: {words}"


def _commands(config: ServiceConfig) -> Iterator[Problem]:
    yield from _template("command_template", config.command_template)
    if config.stream_template:
        yield from _template("stream_template", config.stream_template)
    for name in ("auth_check_cmd", "health_check_cmd", "version_cmd"):
        if line := getattr(config, name):
            yield from _template(name, line, placeholders=CHECK_PLACEHOLDERS)
    if not any("{file}" in argument for argument in config.file_args):
        yield "file_args", ': expected an element with "{file}" in it, so that the file is named'


def _template(name: str, line: str, **options: Any) -> Iterator[Problem]:
    try:
        CommandTemplate.parse(line, **options)
    except ConfigError as error:
        for problem in error.problems:
            yield name, f": {printable(problem)}"


def _environment(config: ServiceConfig) -> Iterator[Problem]:
    for name in config.env:
        if not name or "=" in name:
            yield "env", f": {shown(name)} cannot be the name of an environment variable"
    for number, name in enumerate(config.unset_env):
        if not name or "=" in name:
            yield "unset_env", f"[{number}]: {shown(name)} cannot be the name of a variable"


def _output(field: str, path: str, output: OutputConfig) -> Iterator[Problem]:
    for name in output.files:
        if name in _DOCUMENTS:
            words = "is what the tool prints; give the file another name"
            yield field, f"{path}.files.{name}: {words}"
    for name, text in asdict(output, recurse=False).items():
        if text and name not in ("format", "files"):
            for problem in _expression(text):
                yield field, f"{path}.{name}: {problem}"


def _stream(stream: StreamConfig) -> Iterator[Problem]:
    if stream.text:
        for problem in _expression(stream.text):
            yield "stream", f".text: {problem}"
    if stream.output is not None:
        yield from _output("stream", ".output", stream.output)


def _expression(text: str) -> Iterator[str]:
    import jmespath  # only for tools that answer in JSON
    from jmespath.exceptions import JMESPathError
    from jmespath.functions import Functions

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old ways of writing text still mean what they did
            parsed = jmespath.compile(text).parsed
    except RecursionError:
        yield "is nested too deep"
    except (JMESPathError, ValueError) as error:
        yield printable(" ".join(str(error).split()))
    else:
        known = cast("Mapping[str, Any]", Functions.FUNCTION_TABLE)
        for name in _functions(parsed):
            if name not in known:  # would be found out only when the tool has answered
                yield f'unknown function "{name}"; {suggestion(name, known)}'


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    """The names of the functions in a parsed expression."""
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if is_mapping(child):
            yield from _functions(child)


def _errors(config: ServiceConfig) -> Iterator[Problem]:
    for field in ("error_patterns", "retry_notices"):
        for number, pattern in enumerate(getattr(config, field)):
            if problem := _pattern(pattern.match):
                yield field, f"[{number}].match: {problem}"
            if not pattern.where:
                yield field, f"[{number}].where: expected at least one place to search"
    for number, notice in enumerate(config.retry_notices):
        if set(notice.where) == {Stream.ERROR}:
            expected = "expected stderr or stdout; there is no error yet while the tool runs"
            yield "retry_notices", f"[{number}].where: {expected}"
    for code in config.exit_codes:
        if not -64 <= code <= 255:
            expected = "an exit status from 0 to 255, or minus a signal"
            yield "exit_codes", f"[{code}]: expected {expected}"


def _pattern(pattern: str) -> str | None:
    """What is wrong with a regular expression."""
    if not pattern:
        return "expected a regular expression, got nothing"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what means something else in a later Python
            re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return f"not a regular expression: {printable(str(error))}"
    return None
