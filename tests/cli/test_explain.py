"""``leyline explain``: who would be chosen, and why not the others."""

import json

import pytest

from tests.cli.conftest import Machine
from tests.cli.test_health import on_terminal

HEADERS = ["rank", "service", "score", "reason", "back in"]


@pytest.fixture
def fleet(machine: Machine) -> Machine:
    """A small service that is well, a large one that is limited, one that is not installed."""
    machine.configure("""
        services:
          small:
            {command: cat, command_template: "{command}", max_context: 8000, models: [s1]}
          large:
            command: cat
            command_template: "{command}"
            max_context: 1000000
            supports_streaming: true
            code_execution: true
            quota_limits: {rpm: 2}
          gone: {command: no-such-tool, max_context: 1000000}
        """)
    return machine


def rows(stdout: str) -> dict[str, list[str]]:
    """The cells of each service but its name, in their order."""
    headers, *lines = (line.split("\t") for line in stdout.splitlines())
    assert headers == HEADERS
    return {line[1]: [line[0], *line[2:]] for line in lines}


def test_every_service_is_there_best_first_and_what_is_out_says_why(fleet: Machine):
    done = fleet.run("explain")
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(done.stdout)
    assert list(found) == ["small", "large", "gone"]
    assert found["small"] == ["1", "1.000", "-", "-"]
    assert found["large"][0] == "2"
    assert found["gone"][:2] == ["-", "out"]
    assert "no-such-tool" in found["gone"][2]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--large-context"], "large_context"),
        (["--min-context", "100000"], "min_context"),
        (["--code-execution"], "code_execution"),
        (["--streaming"], "streaming"),
        (["--model", "m9"], "model"),
        (["--service", "large", "--service", "gone"], "services"),
    ],
)
def test_a_requirement_takes_out_who_does_not_have_it(fleet: Machine, arguments, why):
    done = fleet.run("explain", *arguments)
    found = rows(done.stdout)
    assert next(iter(found)) == "large"
    assert found["small"][1] == "out"
    assert f"({why})" in found["small"][2]
    assert done.returncode == 0


def test_a_service_that_takes_no_files_is_out_for_files(machine: Machine):
    machine.configure("services: {svc: {command: cat, supports_files: false}}\n")
    done = machine.run("explain", "--files")
    assert done.returncode == 3
    assert "(supports_files)" in rows(done.stdout)["svc"][2]


def test_where_none_fits_nothing_could_be_started(fleet: Machine):
    done = fleet.run("explain", "--min-context", "2000000")
    assert done.returncode == 3
    assert {cells[1] for cells in rows(done.stdout).values()} == {"out"}


def test_a_quota_that_is_used_up_says_when_there_is_room(fleet: Machine):
    for _ in range(2):
        assert fleet.run("run", "-s", "large", "hi").returncode == 0
    done = fleet.run("explain", "--large-context", "--service", "large")
    found = rows(done.stdout)
    assert found["large"][:2] == ["1", "0.500"]
    assert "its quota has room in" in found["large"][2]
    assert found["large"][3].endswith("s")
    assert done.returncode == 0  # it is chosen, and waits


def test_a_strategy_may_choose_another(fleet: Machine):
    fleet.run("run", "-s", "large", "hi")
    assert next(iter(rows(fleet.run("explain", "--strategy", "most_quota").stdout))) == "small"
    done = fleet.run("explain", "--strategy", "best")
    assert done.returncode == 2
    assert "most_quota" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--fast-response"], ["--strategy", "cheapest"], ["--max-cost", "3"]]
)
def test_what_only_runs_could_show_is_said_to_be_unknown(fleet: Machine, arguments):
    done = fleet.run("explain", *arguments)
    assert "learned from runs" in done.stderr
    if "--max-cost" in arguments:
        assert done.returncode == 3
        assert "its price is not known" in rows(done.stdout)["small"][2]


def test_without_a_check_nothing_is_run_and_that_is_said(machine: Machine):
    tool = machine.tool("tool", "touch was-run")
    machine.configure(f"""
        services:
          svc: {{command: {tool}, health_check_cmd: "{tool}"}}
          gone: {{command: no-such-tool}}
        """)
    done = machine.run("explain", "--no-check")
    assert list(rows(done.stdout)) == ["svc", "gone"]
    assert rows(done.stdout)["gone"][0] == "2"
    assert "health was not checked" in done.stderr
    assert not (machine.folder / "was-run").exists()
    machine.run("explain")
    assert (machine.folder / "was-run").exists()


def test_json_has_every_verdict_whole(fleet: Machine):
    done = fleet.run("explain", "--large-context", "--json")
    first, *others = json.loads(done.stdout)
    assert first == {
        "name": "large", "eligible": True, "score": 0.5, "reason": "", "until": None, "rank": 1,
    }  # fmt: skip
    assert [(v["name"], v["eligible"], v["rank"]) for v in others] == [
        ("small", False, None), ("gone", False, None),
    ]  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--service", "smal"], 'did you mean "small"?'),
        (["--min-context", "-1"], "requirements.min_context"),
        (["--max-cost", "-1"], "requirements.max_cost"),
        (["--model", " "], "requirements.model"),
    ],
)
def test_a_mistake_is_one_message_before_anything_is_checked(fleet: Machine, arguments, message):
    done = fleet.run("explain", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_store_that_is_broken_is_one_message(fleet: Machine):
    state = fleet.home / ".local" / "state"
    state.parent.mkdir()
    state.write_text("no folder")
    done = fleet.run("explain")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("leyline: quotas in ")
    assert done.stderr.count("\n") == 1


def test_with_no_service_at_all_it_says_what_to_do(machine: Machine):
    machine.configure("services:\n")
    done = machine.run("explain")
    assert (done.returncode, done.stdout) == (3, "")
    assert "name one under" in done.stderr


def test_a_terminal_shows_a_table_with_notes_below(fleet: Machine):
    code, screen = on_terminal(fleet, "explain", "--no-check", "--large-context")
    assert code == 0
    assert "large_context" in screen.replace("\r\n", "").replace(" ", "")
    assert screen.index("large") < screen.index("health was not checked")
    assert "\033[1m" in screen
