"""What leyline knows of each tool, and how it meets what the user says."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict

from leyline.config import (
    AuthMethod,
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
from leyline.services import discover, from_mapping, preset_names, resolve
from leyline.template import CommandTemplate

NAMES = ("gemini", "claude", "codex", "qwen", "llm", "opencode", "copilot", "vibe", "local")


def test_the_nine_tools_are_known_in_their_order():
    assert preset_names() == NAMES
    files = resources.files("leyline.services").joinpath("presets").iterdir()
    assert {file.name for file in files if file.is_file()} == {f"{name}.toml" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_valid_and_takes_the_prompt_on_standard_input(name: str):
    config = from_mapping({name: None}, environ={})[name]
    assert config.display_name
    assert config.version_cmd
    assert config.auth_method in list(AuthMethod)
    assert config.output.format is not OutputFormat.TEXT
    assert not CommandTemplate.parse(config.command_template).takes_prompt


def test_a_tool_is_recognised_by_the_name_of_its_program():
    for command in ("gemini", "/opt/bin/gemini", "./gemini"):
        config = resolve(ServiceConfig("mine", command))
        assert (config.command, config.display_name) == (command, "Gemini CLI")
    assert resolve(ServiceConfig("mine", "leyline-local")).display_name
    unknown = resolve(ServiceConfig("gemini", "mytool"))
    assert unknown.command_template == "{command} -p {prompt}"


def test_a_preset_can_be_asked_for_or_refused():
    assert resolve(ServiceConfig("x", "my-gemini", preset="gemini")).output.text
    assert not resolve(ServiceConfig("x", "gemini", preset="")).output.text
    with pytest.raises(ConfigError, match='unknown preset "gemin"'):
        resolve(ServiceConfig("x", "gemini", preset="gemin"))


def test_what_the_user_says_wins_also_where_it_is_the_default():
    config = resolve(ServiceConfig("g", "gemini", auth_method="none", timeout_seconds=60.0))
    assert (config.auth_method, config.timeout_seconds) == ("none", 60.0)
    assert config.auth_env_var == "GEMINI_API_KEY"


def test_variables_and_exit_codes_are_merged_and_patterns_asked_first():
    preset = resolve(ServiceConfig("g", "gemini"))
    mine = ErrorPattern(kind=FailureKind.SERVER, match="mine")
    name = next(iter(preset.env))
    config = resolve(
        ServiceConfig(
            "g",
            "gemini",
            env={name: "other", "MORE": "1"},
            exit_codes={41: FailureKind.SERVER},
            error_patterns=(mine,),
        )
    )
    assert config.env == {**preset.env, name: "other", "MORE": "1"}
    assert config.exit_codes == {**preset.exit_codes, 41: FailureKind.SERVER}
    assert config.error_patterns == (mine, *preset.error_patterns)


def test_notices_of_its_own_are_asked_before_those_of_the_preset():
    preset = resolve(ServiceConfig("g", "gemini"))
    mine = ErrorPattern(kind=FailureKind.SERVER, match="mine", where=(Stream.STDERR,))
    config = resolve(ServiceConfig("g", "gemini", retry_notices=(mine,)))
    assert config.retry_notices == (mine, *preset.retry_notices)


def test_a_streamed_run_has_the_command_line_and_the_output_of_the_preset():
    config = resolve(ServiceConfig("g", "gemini"))
    streamed = config.streamed()
    assert streamed.command_template == config.stream_template != config.command_template
    assert streamed.output == config.stream.output != config.output
    assert streamed.streamed() == streamed
    whole = resolve(ServiceConfig("v", "vibe"))
    assert whole.streamed() == whole


def test_a_command_line_of_its_own_is_the_one_of_streamed_runs_too():
    mine = "gemini --mine"
    config = resolve(ServiceConfig("g", "gemini", command_template=mine))
    assert config.streamed().command_template == mine
    assert config.streamed().output.format is OutputFormat.AUTO
    assert config.stream == StreamConfig()
    both = resolve(
        ServiceConfig("g", "gemini", command_template=mine, stream_template="gemini --stream")
    )
    assert both.streamed().command_template == "gemini --stream"


def test_a_streamed_command_line_of_its_own_takes_the_output_as_it_comes():
    config = resolve(ServiceConfig("g", "gemini", stream_template="gemini --mine"))
    preset = resolve(ServiceConfig("g", "gemini"))
    assert config.command_template == preset.command_template
    assert config.output == preset.output
    assert config.stream.text == preset.stream.text
    assert config.streamed().output.format is OutputFormat.AUTO


@pytest.mark.parametrize("name", ["gemini", "claude", "qwen", "llm"])
def test_a_tool_that_can_tell_pieces_has_a_command_line_that_lets_it(name: str):
    config = resolve(ServiceConfig(name, name))
    assert config.supports_streaming
    assert config.stream.text or config.streamed().output.format is OutputFormat.TEXT
    assert not CommandTemplate.parse(config.stream_template).takes_prompt


def test_a_command_line_of_its_own_takes_its_files_and_output_as_they_come():
    config = resolve(ServiceConfig("g", "gemini", command_template="gemini -p '{prompt}' {files}"))
    assert config.files_via is FilesVia.ARGUMENT
    assert config.file_args == ("@{file}",)
    assert config.output.format is OutputFormat.AUTO
    assert config.exit_codes


def test_words_become_enums_also_when_given_in_code():
    pattern = ErrorPattern(kind="auth", match="x", where=("stderr",))  # type: ignore[arg-type]
    output = OutputConfig(format="json")  # type: ignore[arg-type]
    config = resolve(
        ServiceConfig("x", "x", files_via="inline", output=output, error_patterns=(pattern,))  # type: ignore[arg-type]
    )
    assert config.files_via is FilesVia.INLINE
    assert config.output.format is OutputFormat.JSON
    assert config.error_patterns[0].kind is FailureKind.AUTH
    assert config.error_patterns[0].where[0] is Stream.STDERR


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"env": "x"}, "env: expected a mapping"),
        ({"models": {"a"}}, "models: expected a list, got a set"),
        ({"error_patterns": 5}, "error_patterns: expected a list"),
        ({"preset": 5}, "preset: expected text, got 5"),
        ({"output": OutputConfig(text=5)}, "output.text: expected text, got 5"),
        ({"output": OutputConfig(format="xml")}, "output.format: expected one of"),
        (
            {"error_patterns": (ErrorPattern(kind="oops", match="x"),)},
            "error_patterns[0].kind: expected one of",
        ),
        ({"stream": StreamConfig(text=5)}, "stream.text: expected text, got 5"),
        ({"stream": StreamConfig(output=5)}, "stream.output: expected a mapping, got 5"),
    ],
)
@pytest.mark.parametrize("command", ["gemini", "x"])
def test_a_configuration_built_in_code_is_checked_as_strictly(
    command: str, fields: dict[str, Any], problem: str
):
    with pytest.raises(ConfigError) as caught:
        resolve(ServiceConfig("a", command, **fields))
    (found,) = caught.value.problems
    assert found.startswith(f"services.a.{problem}")


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="services.5.name: expected text, got 5"):
        resolve(ServiceConfig(5, "x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_a_resolved_service_written_down_and_read_again_is_the_same(name: str):
    config = resolve(
        ServiceConfig("x", "tool", preset=name, env={"A": "1"}, quota_limits={"rpm": 5})
    )
    said = asdict(config, filter=lambda a, _: a.name not in {"unsaid", *config.unsaid})
    read = from_mapping(json.loads(json.dumps({"x": said})), environ={})
    assert read == {"x": config}


def test_the_tools_that_are_installed_are_found(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "none"))
    assert discover() == ()
    for name in ("qwen", "gemini", "other"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "claude").write_text("not executable")
    assert [(t.name, t.program) for t in discover()] == [
        ("gemini", str(tmp_path / "gemini")),
        ("qwen", str(tmp_path / "qwen")),
    ]


def test_tools_of_this_virtual_environment_are_found_though_it_is_not_activated(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "local" in [tool.name for tool in discover()]
