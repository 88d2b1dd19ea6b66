"""The program as such: help, version, mistakes on the command line, its two names."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from leyline.cli.exits import ExitCode
from tests.cli.conftest import Machine


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_help_names_every_command_and_every_exit_code(machine: Machine, arguments):
    done = machine.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("run", "services", "health", "quota", "explain", "usage", "report", "init"):
        assert f"\n  {command} " in done.stdout
    epilog = done.stdout.partition("Exit codes:")[2].splitlines()
    assert {line.split()[0] for line in epilog if line.strip()} == {str(int(c)) for c in ExitCode}
    assert "\033" not in done.stdout


@pytest.mark.parametrize(
    "command", ["run", "services", "health", "quota", "explain", "usage", "report", "init"]
)
def test_every_command_has_help(machine: Machine, command):
    done = machine.run(command, "--help")
    assert done.returncode == 0
    assert f" {command} [OPTIONS]" in done.stdout


def test_the_version_is_that_of_the_distribution(machine: Machine):
    done = machine.run("--version")
    assert (done.returncode, done.stdout) == (0, f"leyline {version('leyline-registry')}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rnu",), "No such command"),
        (("run", "--modle", "x"), "--modle"),
        (("run", "--timeout", "soon"), "--timeout"),
        (("run", "--service"), "--service"),
        (("run", "one", "two"), "two"),
        (("services", "x"), "x"),
        (("--json",), "--json"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_help(machine: Machine, arguments, message):
    done = machine.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("leyline: ")
    assert message.lower() in done.stderr.lower()
    assert "--help" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "-s", "nosuch", "hi"), ExitCode.USAGE),
        (("run", "hi"), ExitCode.FAILED),
        (("services",), ExitCode.OK),
        (("services", "x"), ExitCode.USAGE),
        (("health", "nosuch"), ExitCode.USAGE),
        (("quota", "nosuch"), ExitCode.USAGE),
        (("explain", "--nosuch"), ExitCode.USAGE),
        (("usage",), ExitCode.OK),
        (("usage", "--file", "nosuch"), ExitCode.USAGE),
        (("init", "--path", "mine.yaml"), ExitCode.OK),
    ],
)
def test_that_nobody_can_hear_what_it_says_changes_no_exit_code(machine: Machine, arguments, code):
    machine.services(svc="echo too bad >&2; exit 1")
    with open("/dev/full", "wb") as full:
        done = machine.run(*arguments, stderr=full)
    assert done.returncode == code


def test_an_error_of_the_system_that_nobody_thought_of_is_a_message(machine: Machine):
    program = """
import errno, os, sys
import leyline.cli.services
from leyline.cli.app import run_app

def broken(_):
    raise OSError(errno.EIO, os.strerror(errno.EIO), "/some/disk")

leyline.cli.services.Fleet.find = broken
sys.exit(run_app(["services"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr == "leyline: Input/output error: /some/disk\n"


def test_it_can_be_run_as_a_module(machine: Machine):
    done = subprocess.run(
        [sys.executable, "-m", "leyline.cli", "--version"],
        env=machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"leyline {version('leyline-registry')}\n")


@pytest.mark.parametrize("name", ["leyline", "service-executor"])
def test_both_scripts_are_the_program(machine: Machine, name):
    machine.services(svc="cat")
    script = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [script, "run", "hi"],
        cwd=machine.folder,
        env=machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


def test_help_does_not_need_what_only_some_commands_do(machine: Machine):
    program = """
import sys
from leyline.cli.app import run_app

run_app(["--help"])
heavy = {"rich.console", "yaml", "platformdirs", "importlib.metadata"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
