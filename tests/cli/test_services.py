"""``leyline services``: what there is, where from, and what is missing. Runs nothing."""

import json
import re

from tests.cli.conftest import Machine
from tests.cli.test_health import on_terminal

HEADERS = ["name", "display name", "command", "auth", "model", "quota", "from"]


def configured(machine: Machine) -> str:
    tool = machine.tool("tool", "touch ran")
    return str(
        machine.configure(f"""
        services:
          one:
            command: {tool}
            display_name: The One
            auth_method: api_key
            auth_env_var: ONE_KEY
            default_model: big
            quota_limits: {{rpm: 60, daily: 1000}}
          two: {{command: no-such-tool}}
        """)
    )


def test_a_line_a_service_with_everything_a_user_has_to_know(machine: Machine):
    path = configured(machine)
    done = machine.run("services", env={"ONE_KEY": "very-secret"})
    assert (done.returncode, done.stderr) == (0, "")
    headers, one, two = (line.split("\t") for line in done.stdout.splitlines())
    assert headers == HEADERS
    assert one == [
        "one", "The One", str(machine.bin / "tool"), "api_key, ONE_KEY set", "big",
        "rpm 60, daily 1000", path,
    ]  # fmt: skip
    assert two[0] == "two"
    assert two[2].startswith('command "no-such-tool" was not found on PATH')
    assert two[3:] == ["none", "-", "-", path]
    assert not (machine.folder / "ran").exists()


def test_a_key_is_said_to_be_there_or_not_and_never_shown(machine: Machine):
    configured(machine)
    for arguments in ((), ("--json",)):
        done = machine.run("services", *arguments, env={"ONE_KEY": "very-secret"})
        assert "very-secret" not in done.stdout + done.stderr
    assert "api_key, ONE_KEY not set" in machine.run("services").stdout
    assert "api_key, ONE_KEY not set" in machine.run("services", env={"ONE_KEY": ""}).stdout


def test_json_has_the_same_in_parts(machine: Machine):
    path = configured(machine)
    one, two = json.loads(machine.run("services", "--json").stdout)
    assert one == {
        "name": "one",
        "display_name": "The One",
        "command": str(machine.bin / "tool"),
        "path": str(machine.bin / "tool"),
        "problem": None,
        "auth": {"method": "api_key", "variable": "ONE_KEY", "set": False},
        "default_model": "big",
        "models": [],
        "quota_limits": {"rpm": 60, "daily": 1000},
        "from": path,
    }
    assert (two["command"], two["path"], two["default_model"]) == ("no-such-tool", None, None)
    assert "was not found" in two["problem"]
    assert two["auth"] == {"method": "none", "variable": None, "set": None}


def test_with_no_configuration_it_shows_what_is_installed_or_spoken_of(machine: Machine):
    local = machine.tool("leyline-local", "exit 1")
    own = machine.tool("own", "exit 1")
    done = machine.run("services", env={"QWEN_COMMAND": str(own), "GEMINI_API_KEY": "x"})
    assert done.returncode == 0
    rows = {line.split("\t")[0]: line.split("\t") for line in done.stdout.splitlines()[1:]}
    told = {name: (row[2], row[6]) for name, row in rows.items()}
    assert told["local"] == (str(local), "installed")
    assert told["qwen"] == (str(own), "environment")
    assert told["gemini"][1] == "environment"
    assert "was not found" in told["gemini"][0]
    assert "claude" not in told


def test_with_no_service_it_says_what_to_do(machine: Machine):
    machine.configure("services:\n")
    done = machine.run("services")
    assert (done.returncode, done.stdout) == (0, "\t".join(HEADERS) + "\n")
    assert (
        done.stderr == 'leyline: there is no service in services.yaml; name one under "services:"\n'
    )
    assert json.loads(machine.run("services", "--json").stdout) == []


def test_on_a_terminal_sentences_stand_below_the_table(machine: Machine):
    configured(machine)
    code, shown = on_terminal(machine, "services")
    assert code == 0
    table, _, notes = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", shown).partition("\r\n\r\n")
    assert "no-such-tool" in table
    assert "was not found" not in table
    assert 'two: command "no-such-tool" was not found on PATH' in notes
    assert "from services.yaml" in notes


def test_names_of_any_length_and_shape_fit_a_terminal_and_are_cut_nowhere(machine: Machine):
    tool = machine.tool("tool", "cat")
    name, strange = "n" * 300, "[red]x"
    machine.configure(f"""
        services:
          {name}: {{command: {tool}, display_name: "{"d" * 300} ü 漢字"}}
          "{strange}": {{command: {tool}}}
        """)
    plain = machine.run("services")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert {line.split("\t")[0] for line in plain.stdout.splitlines()} == {"name", name, strange}
    code, shown = on_terminal(machine, "services")
    assert code == 0
    text = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("n") >= 300
    assert "…" not in text
    assert on_terminal(machine, "services", COLUMNS="10")[0] == 0
