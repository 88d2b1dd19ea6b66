"""A mapping is read strictly: every problem at once, each with its path."""

import string
from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from leyline.config import (
    ErrorPattern,
    FilesVia,
    OutputConfig,
    OutputFormat,
    ServiceConfig,
    Stream,
    StreamConfig,
)
from leyline.errors import ConfigError
from leyline.model import FailureKind
from leyline.services import from_mapping, preset_names, resolve


def problems(services: dict[Any, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        from_mapping(services, source="f.yaml")
    assert caught.value.source == "f.yaml"
    return caught.value.problems


def test_a_service_is_described_by_data_alone():
    said = {
        "command": "./mytool",
        "auth_method": "token",
        "auth_env_var": "MY_TOKEN",
        "quota_limits": {"rpm": 60, "tpm": 1e6, "daily": 1000},
        "models": ["a", "b"],
        "default_model": "a",
        "timeout_seconds": None,
        "max_context": 5,
        "supports_files": False,
        "files_via": "inline",
        "env": {"X": "1"},
        "output": {"format": "json", "text": "out.text", "files": {"export": "{tmpdir}/e.json"}},
        "error_patterns": [{"kind": "auth", "match": "no key", "where": ["stdout"]}],
        "exit_codes": {41: "auth", "42": "bad_request"},
        "stream_template": "{command} --stream",
        "stream": {"text": "delta", "output": {"format": "jsonl"}},
        "retry_notices": [{"kind": "overloaded", "match": "retrying", "where": ["stderr"]}],
    }
    config = from_mapping({"mine": said})["mine"]
    assert (config.name, config.command, config.timeout_seconds) == ("mine", "./mytool", None)
    assert config.files_via is FilesVia.INLINE
    assert config.output == OutputConfig(
        format=OutputFormat.JSON, text="out.text", files={"export": "{tmpdir}/e.json"}
    )
    assert config.error_patterns == (
        ErrorPattern(kind=FailureKind.AUTH, match="no key", where=(Stream.STDOUT,)),
    )
    assert config.exit_codes == {41: FailureKind.AUTH, 42: FailureKind.BAD_REQUEST}
    assert config.models == ("a", "b")
    assert config.stream_template == "{command} --stream"
    assert config.stream == StreamConfig(
        text="delta", output=OutputConfig(format=OutputFormat.JSONL)
    )
    assert config.retry_notices == (
        ErrorPattern(kind=FailureKind.OVERLOADED, match="retrying", where=(Stream.STDERR,)),
    )


def test_every_problem_is_reported_at_once_with_its_path():
    found = problems(
        {
            "gemini": {
                "timeout": 3,
                "quota_limits": {"rpm": "sixty", "rpmm": 1, "concurrent": 1.5},
                "supports_files": "false",
                "models": "abc",
                "output": {"txt": "x", "text": 4},
                "error_patterns": [{"kind": "x"}, 3],
            },
            "mine": {},
            "list": [],
            5: {},
        }
    )
    kinds = ", ".join(FailureKind)
    assert set(found) == {
        'services.gemini.timeout: unknown key; did you mean "timeout_seconds"?',
        'services.gemini.quota_limits.rpm: expected a positive number, got "sixty"',
        'services.gemini.quota_limits.rpmm: unknown limit; did you mean "rpm"?',
        "services.gemini.quota_limits.concurrent: expected a whole number, got 1.5",
        'services.gemini.supports_files: expected true or false, got "false"',
        'services.gemini.models: expected a list, got "abc"',
        'services.gemini.output.txt: unknown key; did you mean "text"?',
        "services.gemini.output.text: expected text, got 4",
        f'services.gemini.error_patterns[0].kind: expected one of {kinds}; got "x"',
        "services.gemini.error_patterns[0].match: is missing",
        "services.gemini.error_patterns[1]: expected a mapping, got 3",
        "services.mine.command: is missing; set it to the name or path of a program",
        "services.list: expected a mapping, got []",
        "services.5: expected text for a name, got 5",
    }


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("command", "", "command: expected the name or path of a program, got nothing"),
        ("command", None, "command: expected text, got nothing"),
        ("name", "other", 'name: must be "x", as the service is called'),
        ("auth_method", "apikey", 'did you mean "api_key"?'),
        ("quota_limits", {"rpm": 0}, "quota_limits.rpm: expected a positive number, got 0"),
        ("quota_limits", {"rpm": -1}, "quota_limits.rpm: expected a positive number, got -1"),
        ("quota_limits", {"tpm": True}, "quota_limits.tpm: expected a positive number, got true"),
        ("quota_limits", {"tpm": float("nan")}, "quota_limits.tpm: expected a positive number"),
        ("quota_limits", {"tpm": float("inf")}, "quota_limits.tpm: expected a positive number"),
        ("quota_limits", {"rpd": 1, "daily": 1}, "daily: is another name for rpd"),
        ("quota_limits", [], "quota_limits: expected a mapping, got []"),
        ("models", [1], "models[0]: expected text, got 1"),
        ("models", [" "], "models[0]: expected the name of a model"),
        ("default_model", "c", 'default_model: "c" is not one of the models'),
        ("timeout_seconds", 0, "timeout_seconds: expected a positive number, got 0"),
        ("timeout_seconds", "60", 'timeout_seconds: expected a number, got "60"'),
        ("timeout_seconds", True, "timeout_seconds: expected a number, got true"),
        ("max_context", 1.5, "max_context: expected a whole number, got 1.5"),
        ("max_context", 0, "max_context: expected a positive number, got 0"),
        ("max_output_bytes", -5, "max_output_bytes: expected a positive number, got -5"),
        ("grace_seconds", -1, "grace_seconds: expected zero or more, got -1"),
        ("command_template", "x {promt}", 'unknown placeholder "{promt}"'),
        ("command_template", "x 'y", "no closing quotation"),
        ("command_template", "", "command_template: expected a command, got nothing"),
        ("command_template", "{prompt} x", 'command_template: "{prompt}" cannot be the program'),
        ("health_check_cmd", "x {prompt}", 'health_check_cmd: unknown placeholder "{prompt}"'),
        ("file_args", ["-f"], 'file_args: expected an element with "{file}" in it'),
        ("env", {"A=B": "x"}, 'env: "A=B" cannot be the name'),
        ("env", {"A": 1}, "env.A: expected text"),
        ("unset_env", [""], "unset_env[0]"),
        ("output", {"text": "a["}, "output.text: "),
        ("output", "text", 'output: expected a mapping, got "text"'),
        ("error_patterns", [{"kind": "auth", "match": "("}], "error_patterns[0].match: not a reg"),
        ("error_patterns", [{"kind": "auth", "match": ""}], "match: expected a regular expression"),
        ("error_patterns", [{"kind": "auth", "match": "x", "where": []}], "at least one place"),
        ("stream_template", "x {promt}", 'stream_template: unknown placeholder "{promt}"'),
        ("stream", {"text": "a["}, "stream.text: "),
        ("stream", {"text": "keyz(x)"}, 'stream.text: unknown function "keyz"'),
        ("stream", {"txt": "a"}, 'stream.txt: unknown key; did you mean "text"?'),
        ("stream", "text", 'stream: expected a mapping, got "text"'),
        ("stream", {"output": {"text": "a["}}, "stream.output.text: "),
        ("stream", {"output": {"format": "xml"}}, "stream.output.format: expected one of"),
        ("stream", {"output": {"files": {"err": "x"}}}, "stream.output.files.err: is what the"),
        ("retry_notices", [{"kind": "server", "match": "("}], "retry_notices[0].match: not a"),
        ("retry_notices", [{"match": "x"}], "retry_notices[0].kind: is missing"),
        (
            "retry_notices",
            [{"kind": "server", "match": "x", "where": ["error"]}],
            "retry_notices[0].where: expected stderr or stdout; there is no error yet",
        ),
        ("exit_codes", {"a": "auth"}, 'exit_codes.a: expected a whole number, got "a"'),
        ("exit_codes", {300: "auth"}, "exit_codes[300]: expected an exit status"),
        ("exit_codes", {1: "oops"}, "exit_codes[1]: expected one of"),
        ("files_via", "mail", 'files_via: expected one of argument, reference, inline; got "mail"'),
        ("preset", "gemni", 'preset: unknown preset "gemni"; did you mean "gemini"?'),
        ("preset", "?", 'preset: unknown preset "?"; known: gemini, claude'),
        ("timeout_seconds", 10**400, "expected a number, got a number that is too large"),
        ("quota_limits", {"rpm": 10**400}, "expected a positive number, got a number that is too"),
        ("quota_limits", {5: 1}, "quota_limits[5]: expected text, got 5"),
        ("models", {"a": 1}, "models: expected a list, got a mapping"),
        ("display_name", "a\0b", "display_name: expected text that a program can be given"),
        ("command_template", "x \ud800", r'given, got "x \ud800"'),
        ("output", {"text": "keyz(out)"}, 'unknown function "keyz"; did you mean "keys"?'),
        ("output", {"files": {"out": "x"}}, "output.files.out: is what the tool prints"),
        ("error_patterns", [{"kind": "auth", "match": "x", "where": "error"}], "expected a list"),
        ("error_patterns", [{"kind": "auth", "match": "[[a]"}], "match: not a regular expression"),
        ("exit_codes", {41: "auth", "41": "auth"}, "exit_codes: 41 stands there for the second"),
        ("exit_codes", {1 << 20_000: "auth"}, "exit_codes: expected keys that can be written"),
        ("exit_codes", {"--5": "auth"}, 'expected a whole number, got "--5"'),
        ("a\nb", 1, r'services.x."a\nb": unknown key'),
        ("unsaid", [], "unsaid: unknown key"),
        ("suports_files", True, 'did you mean "supports_files"?'),
    ],
)
def test_a_wrong_value_says_what_was_expected(field: str, value: object, problem: str):
    said = {"command": "x", "models": ["a"], field: value}
    found = problems({"x": said})
    assert len(found) == 1
    assert found[0].startswith("services.x.")
    assert problem in found[0]


def test_a_key_where_a_variable_belongs_is_not_shown():
    (problem,) = problems({"x": {"command": "x", "auth_env_var": "sk-this-is-a-key"}})
    assert "sk-this" not in problem
    assert "must not stand in a configuration" in problem


def test_the_value_of_a_variable_is_not_shown():
    assert problems({"x": {"command": "x", "env": {"PIN": 987654, "KEY": "a-secret\0"}}}) == (
        "services.x.env.PIN: expected text",
        "services.x.env.KEY: expected text that a program can be given",
    )


def test_a_known_name_alone_is_a_service():
    config = from_mapping({"gemini": None, "claude": {}})
    assert (config["gemini"].command, config["claude"].command) == ("gemini", "claude")
    assert list(config) == ["gemini", "claude"]


def test_the_environment_can_name_another_command():
    services = {"gemini": None, "my-tool": {"command": "x"}}
    environ = {"GEMINI_COMMAND": "/opt/gemini", "MY_TOOL_COMMAND": "y", "CLAUDE_COMMAND": "z"}
    configs = from_mapping(services, environ=environ)
    assert {name: c.command for name, c in configs.items()} == {
        "gemini": "/opt/gemini",
        "my-tool": "y",
    }


def test_another_command_from_the_environment_is_still_the_same_tool():
    services = {"gemini": None, "mine": {"command": "claude"}, "bare": {"command": "x"}}
    environ = {f"{name}_COMMAND": "/opt/wrapper" for name in ("GEMINI", "MINE", "BARE")}
    names = [c.display_name for c in from_mapping(services, environ=environ).values()]
    assert names == ["Gemini CLI", "Claude Code", ""]


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.dates()
    | st.binary(max_size=3) | st.text(max_size=8) | st.text(st.characters(), max_size=3)
)  # fmt: skip
KEYS = st.sampled_from([a.name for a in fields(ServiceConfig)]) | st.text(max_size=5)
JUNK = st.recursive(
    SCALARS,
    lambda value: (
        st.lists(value, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rpm", "kind", "match", "text", "format", "A", "1"]) | SCALARS,
            value,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["gemini", "mine"]) | SCALARS,
        st.dictionaries(KEYS, JUNK, max_size=6) | JUNK,
        max_size=3,
    )
)
def test_junk_loads_or_is_refused_with_paths(services: dict[Any, Any]):
    found: tuple[str, ...] = ()
    try:
        from_mapping(services, environ={})
    except ConfigError as error:
        found = error.problems
    assert all(problem.startswith("services.") for problem in found)
    assert all(problem.isprintable() for problem in found)


@given(
    st.text(max_size=20) | st.text("abc()[]{}|*+?\\^$.@`'\"&!<=>,:-019", max_size=20),
    st.sampled_from(["command_template", "version_cmd", "text", "match"]),
)
def test_any_expression_is_taken_or_refused_with_its_path(text: str, field: str):
    said: dict[str, Any] = {"command": "x", field: text}
    if field == "text":
        said = {"command": "x", "output": {"text": text}}
    elif field == "match":
        said = {"command": "x", "error_patterns": [{"kind": "auth", "match": text}]}
    try:
        from_mapping({"x": said}, environ={})
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.startswith("services.x.")
        assert f"{field}: " in problem


@pytest.mark.parametrize("junk", [None, [1], "text", 5])
def test_what_is_no_mapping_is_refused_too(junk: Any):
    with pytest.raises(ConfigError, match="services: expected a mapping from names to services"):
        from_mapping(junk)


@given(
    st.sampled_from(preset_names()),
    st.fixed_dictionaries(
        {},
        optional={
            "timeout_seconds": st.none() | st.floats(0.1, 1e6),
            "models": st.lists(st.text(string.ascii_letters, min_size=1)),
            "env": st.dictionaries(st.text(string.ascii_letters, min_size=1), st.just("v")),
            "quota_limits": st.dictionaries(
                st.sampled_from(["rpm", "tpm"]), st.integers(1, 2**63 - 1)
            ),
            "exit_codes": st.dictionaries(st.integers(0, 255), st.sampled_from(FailureKind)),
            "command_template": st.just("{command} {prompt}"),
            "stream_template": st.just("{command} --stream"),
        },
    ),
)
def test_resolving_again_changes_nothing(name: str, said: dict[str, Any]):
    config = from_mapping({name: said}, environ={})[name]
    assert resolve(config) == config
