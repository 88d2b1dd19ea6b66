"""``leyline health``: live on a terminal, plain lines elsewhere, an exit code for scripts."""

import json
import os
import re
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from leyline import HealthReport
from tests.cli.conftest import Machine
from tests.processes import is_alive

STUBBORN = Path(__file__).parent.parent / "programs" / "stubborn.sh"
HEADERS = ["service", "status", "installed", "version", "authenticated", "reason", "seconds"]


@pytest.fixture
def checks(machine: Machine) -> Machine:
    """One service that is well, one that warns, one whose command does not exist."""
    tool = machine.tool("tool", 'if [ "$1" = --version ]; then echo "tool 1.2.3"; else cat; fi')
    machine.configure(f"""
        services:
          well: {{command: {tool}, version_cmd: "{tool} --version"}}
          warns: {{command: {tool}, health_check_cmd: "sh -c 'exit 1'"}}
          gone: {{command: no-such-tool}}
        """)
    return machine


def on_terminal(machine: Machine, *arguments: str, **env: str) -> tuple[int, str]:
    """Exit code and everything that a terminal of 80 columns was sent."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = machine.start(*arguments, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with process:
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # every descriptor of the other side is closed
                break
    os.close(ours)
    return process.returncode, shown.decode()


def test_elsewhere_it_is_a_line_a_service_in_the_order_of_the_configuration(checks: Machine):
    done = checks.run("health")
    assert (done.returncode, done.stderr) == (1, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == HEADERS
    assert [row[:3] for row in rows[1:]] == [
        ["well", "healthy", "yes"], ["warns", "degraded", "yes"], ["gone", "unhealthy", "no"],
    ]  # fmt: skip
    assert "1.2.3" in rows[1][3]
    assert rows[1][5] == "-"
    assert "no-such-tool" in rows[3][5]
    assert all(re.fullmatch(r"\d+\.\d", row[6]) for row in rows[1:])
    assert "\033" not in done.stdout


@pytest.mark.parametrize(
    ("names", "code"), [(["well"], 0), (["warns", "well"], 0), (["well", "gone"], 1)]
)
def test_the_exit_code_is_that_of_the_services_asked_about(checks: Machine, names, code):
    done = checks.run("health", *names, names[0])
    assert [line.split("\t")[0] for line in done.stdout.splitlines()[1:]] == names
    assert done.returncode == code


def test_an_unknown_name_is_a_mistake_and_nothing_is_checked(checks: Machine):
    done = checks.run("health", "well", "wel")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'did you mean "well"?' in done.stderr


def test_json_is_a_list_of_reports(checks: Machine):
    done = checks.run("health", "--json")
    reports = json.loads(done.stdout)
    keys = {field.name for field in HealthReport.__attrs_attrs__} | {"usable"}
    assert all(report.keys() == keys for report in reports)
    told = [(report["service"], report["status"], report["usable"]) for report in reports]
    assert told == [
        ("well", "healthy", True), ("warns", "degraded", True), ("gone", "unhealthy", False),
    ]  # fmt: skip
    assert done.returncode == 1


def test_a_live_check_sends_a_prompt(machine: Machine):
    machine.services(good="touch asked; cat", bad="exit 1")
    machine.run("health", "good")
    assert not (machine.folder / "asked").exists()
    reports = json.loads(machine.run("health", "--live", "--json").stdout)
    assert (machine.folder / "asked").exists()
    assert [report["live"] for report in reports] == [True, False]
    assert machine.run("health", "--live", "bad").returncode == 1


def test_a_check_that_takes_too_long_is_given_up_and_stopped(machine: Machine, tmp_path):
    pids = tmp_path / "pids"
    machine.configure(f"""
        services:
          svc: {{command: cat, health_check_cmd: "{STUBBORN} {pids}", grace_seconds: 0.1}}
        """)
    done = machine.run("health", "--timeout", "1")
    assert done.returncode == 1
    assert "the check took longer than 1 s" in done.stdout
    assert not any(is_alive(int(word)) for word in pids.read_text().split())


def test_a_time_out_of_nothing_is_a_mistake(checks: Machine):
    done = checks.run("health", "--timeout", "0")
    assert done.returncode == 2
    assert done.stderr == "leyline: a timeout must be a positive number of seconds, got 0\n"


def test_on_a_terminal_services_stand_there_while_they_are_checked(machine: Machine):
    machine.configure("""
        services:
          slow: {command: cat, health_check_cmd: "sleep 1"}
          gone: {command: no-such-tool}
        """)
    code, shown = on_terminal(machine, "health")
    assert code == 1
    assert shown.index("checking") < shown.index("healthy")
    assert "no-such-tool" in shown
    assert shown.rstrip().endswith("\033[?25h")  # the cursor is back
    last = shown.rpartition("checking")[2]
    assert "slow" in last or "gone" in last


@pytest.mark.parametrize("columns", ["40", "200"])
def test_reasons_are_shown_on_terminals_of_any_width(checks: Machine, columns):
    shown = on_terminal(checks, "health", "gone", COLUMNS=columns)[1]
    words = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", shown).split()
    assert {"gone", "unhealthy", "found", "PATH;", "install"} <= set(words)


def test_no_colour_is_honoured_on_a_terminal(checks: Machine):
    colour = re.compile(r"\033\[(?:\d+;)*3[0-9]m")
    assert colour.search(on_terminal(checks, "health")[1])
    assert not colour.search(on_terminal(checks, "health", NO_COLOR="1")[1])


def test_a_dumb_terminal_gets_plain_lines(checks: Machine):
    shown = on_terminal(checks, "health", TERM="dumb")[1]
    assert "\033" not in shown
    assert "well\thealthy" in shown


def test_an_interrupt_stops_the_checks(machine: Machine, tmp_path):
    pids = tmp_path / "pids"
    machine.configure(f"""
        services:
          svc: {{command: cat, health_check_cmd: "{STUBBORN} {pids}", grace_seconds: 0.1}}
        """)
    process = machine.start("health", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        deadline = time.monotonic() + 30
        while not (pids.exists() and pids.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, b"", b"leyline: interrupted\n")
    assert not any(is_alive(int(word)) for word in pids.read_text().split())


def test_with_nothing_to_check_it_says_so(machine: Machine):
    machine.configure("services:\n")
    done = machine.run("health")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no service in services.yaml" in done.stderr


def test_a_known_tool_can_be_asked_about_without_a_configuration(machine: Machine):
    done = machine.run("health", "gemini")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split("\t")[:3] == ["gemini", "unhealthy", "no"]
