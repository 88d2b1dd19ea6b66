"""Where a configuration is looked for, and what is said of a file that cannot be read."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leyline.errors import ConfigError
from leyline.services import find_config_file, load

GOOD = "services:\n  gemini:\n    timeout_seconds: 5\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working directory, and no word of any tool in the environment."""
    for name in list(os.environ):
        if name.endswith(("_COMMAND", "_API_KEY", "_TOKEN")) or name == "LEYLINE_CONFIG":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_the_places_are_asked_in_order(home: Path, monkeypatch: pytest.MonkeyPatch):
    named = home / "named.toml"
    places = [
        home / "home/.claude/leyline/services.yaml",
        home / "config/leyline/services.toml",
        home / "config/leyline/services.yaml",
        home / "work/services.yaml",
        named,
    ]
    assert find_config_file() is None
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(GOOD)
        if place == named:
            monkeypatch.setenv("LEYLINE_CONFIG", str(named))
        found = find_config_file()
        assert found is not None
        assert found.absolute() == place


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEYLINE_CONFIG", "gone.yaml")
    with pytest.raises(ConfigError, match="gone.yaml does not exist"):
        load()


def test_yaml_and_toml_say_the_same(home: Path):
    yaml, toml = home / "a.yaml", home / "a.toml"
    yaml.write_text("services:\n  g:\n    command: gemini\n    exit_codes: {41: auth}\n")
    toml.write_text('[services.g]\ncommand = "gemini"\nexit_codes = {41 = "auth"}\n')
    assert load(yaml) == load(str(toml))


def test_without_a_file_the_environment_says_which_tools_there_are(
    monkeypatch: pytest.MonkeyPatch,
):
    assert load() == {}
    monkeypatch.setenv("CLAUDE_COMMAND", "/opt/claude")
    monkeypatch.setenv("GEMINI_API_KEY", "a-secret-key")
    configs = load()
    assert {name: config.command for name, config in configs.items()} == {
        "gemini": "gemini",
        "claude": "/opt/claude",
    }
    assert "a-secret-key" not in repr(configs)


def test_the_environment_can_override_a_command_of_a_file(home: Path, monkeypatch):
    (home / "work/services.yaml").write_text(GOOD)
    monkeypatch.setenv("GEMINI_COMMAND", "/opt/gemini")
    config = load()["gemini"]
    assert (config.command, config.timeout_seconds) == ("/opt/gemini", 5.0)


def test_an_empty_list_of_services_is_fine(home: Path):
    (home / "a.yaml").write_text("services:\n")
    assert load(home / "a.yaml") == {}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.yaml", b"", "is empty"),
        ("a.yaml", b"# only a comment\n", "is empty"),
        ("a.yaml", b"- a\n- b\n", "expected a mapping with the key `services`"),
        ("a.yaml", b"just text", "expected a mapping"),
        ("a.yaml", b"service: {}\n", "service: unknown key; known: services"),
        ("a.yaml", b"services: [a]\n", "expected a mapping from names to services, got a list"),
        ("a.yaml", b"services: false\n", "expected a mapping from names to services, got false"),
        ("a.yaml", b"services:\n  a: {b\n", "line 3, column 1"),
        ("a.yaml", b"services:\n\ta: b\n", "line 2, column 1"),
        ("a.yaml", b"services:\n  a: {}\n  a: {}\n", '"a" stands here for the second time'),
        ("a.yaml", b"services: !!python/object:os.system {}\n", "line 1"),
        ("a.yaml", b"? [a]\n: b\n", "cannot be a key"),
        ("a.yaml", b"a: &a [*a]\n", ""),
        ("a.yaml", b"\xff\xfe\x00", "is not text (UTF-8)"),
        ("a.yaml", b"a: 2001-99-99\n", "line 1, column 4: cannot be read as timestamp: month"),
        ("a.yaml", b"a: !!timestamp x\n", "line 1, column 4: cannot be read as timestamp"),
        ("a.yaml", b"a: !!bool x\n", "line 1, column 4: cannot be read as bool"),
        ("a.yaml", b"a: " + b"9" * 5000, "line 1, column 4: cannot be read as int"),
        ("a.yaml", b"[" * 5000, "is not YAML: maximum recursion depth"),
        ("a.yaml", b"a: {}\n--- {}\n", "line 2, column 1"),
        ("a.toml", b"[services\n", "is not TOML"),
        ("a.toml", b"a = " + b"9" * 5000, "is not TOML"),
        ("a.toml", b"a = " + b"[" * 5000, "is not TOML"),
        ("a.toml", b"services = 1\n", "expected a mapping from names"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(home: Path, name: str, content: bytes, problem: str):
    path = home / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)


def test_problems_beside_the_services_and_in_them_are_told_together(home: Path):
    (home / "a.yaml").write_text("services: {x: {command: 5}, y: 7}\nversion: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(home / "a.yaml")
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "version",
        "services.x.command",
        "services.y",
    ]


def test_a_merged_mapping_may_be_overridden_but_no_key_written_twice(home: Path):
    path = home / "a.yaml"
    text = """
services:
  one: &one {command: cat, timeout_seconds: 5}
  two: &two {<<: *one, timeout_seconds: 7}
  three: {<<: *two, max_context: 9%s}
"""
    path.write_text(text % "")
    configs = load(path)
    assert [config.timeout_seconds for config in configs.values()] == [5, 7, 7]
    path.write_text(text % ", max_context: 9")
    with pytest.raises(ConfigError, match='line 5, column .*: "max_context" stands here for'):
        load(path)


def test_aliases_without_end_are_refused_in_few_words(home: Path):
    rows = ["  a0: &a0 [x, x]"]
    rows += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (home / "a.yaml").write_text("services:\n" + "\n".join(rows))
    with pytest.raises(ConfigError) as caught:
        load(home / "a.yaml")
    assert len(caught.value.problems) == 30
    assert caught.value.problems[29] == "services.a29: expected a mapping, got a list"


def test_a_byte_order_mark_is_no_part_of_the_text(home: Path):
    for name, text in {"a.yaml": "services: {gemini: }", "a.toml": "[services.gemini]"}.items():
        (home / name).write_text(text, "utf-8-sig")
        assert list(load(home / name)) == ["gemini"]


@given(st.text(max_size=60) | st.text("{}[]:,-&*!?|>'\"%@#<~\n\t ab01.", max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_loads_or_is_refused(home: Path, text: str):
    for name in ("a.yaml", "a.toml"):
        (home / name).write_text(text, "utf-8")
        with contextlib.suppress(ConfigError):
            load(home / name)


def test_what_cannot_be_a_path_says_so():
    with pytest.raises(ConfigError, match="cannot be the path of a file"):
        load("a\0b")


def test_a_folder_a_missing_and_an_unreadable_file_say_so(home: Path):
    with pytest.raises(ConfigError, match="is a directory"):
        load(home)
    with pytest.raises(ConfigError, match="does not exist"):
        load(home / "gone.yaml")
    loop = home / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(loop)
