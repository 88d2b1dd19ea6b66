"""``leyline quota``: what is used, of all who share it."""

import json

import pytest

from leyline.cli.quota import duration
from tests.cli.conftest import Machine
from tests.cli.test_health import on_terminal

HEADERS = ["service", "limit", "used", "of", "waiting", "bar", "level", "frees in"]


def configured(machine: Machine) -> None:
    machine.configure("""
        services:
          one: {command: cat, command_template: "{command}", quota_limits: {rpm: 2, tpm: 1000000}}
          two: {command: cat, command_template: "{command}"}
        """)


def test_what_was_used_is_shown_and_outlives_the_programs_that_used_it(machine: Machine):
    configured(machine)
    for _ in range(2):
        assert machine.run("run", "-s", "one", "hi").returncode == 0
    done = machine.run("quota")
    assert (done.returncode, done.stderr) == (0, "")
    headers, rpm, tpm = (line.split("\t") for line in done.stdout.splitlines())
    assert headers == HEADERS
    assert rpm[:7] == ["one", "rpm", "2", "2", "0", "#" * 10, "critical"]
    assert rpm[7].endswith("s")
    assert tpm[:2] == ["one", "tpm"]
    assert tpm[3:7] == ["1,000,000", "0", "." * 10, "healthy"]


def test_a_quota_that_is_used_up_is_worth_another_try_later(machine: Machine):
    configured(machine)
    for _ in range(2):
        machine.run("run", "-s", "one", "hi")
    done = machine.run("run", "-s", "one", "--timeout", "1", "hi")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("leyline: one: ")
    assert "rpm" in done.stderr


def test_json_has_the_same_in_parts(machine: Machine):
    configured(machine)
    machine.run("run", "-s", "one", "hi")
    (status,) = json.loads(machine.run("quota", "--json").stdout)
    assert (status["service"], status["account"], status["level"]) == ("one", "one", "healthy")
    use = status["limits"][0]
    assert (use["name"], use["used"], use["amount"]) == ("rpm", 1, 2)
    (unlimited,) = json.loads(machine.run("quota", "two", "--json").stdout)
    assert unlimited["limits"] == []


def test_nothing_limited_is_said_so(machine: Machine):
    machine.services(svc="cat")
    done = machine.run("quota")
    assert (done.returncode, done.stdout) == (0, "")
    assert "quota_limits" in done.stderr


def test_an_unknown_service_is_a_mistake(machine: Machine):
    configured(machine)
    done = machine.run("quota", "onne")
    assert done.returncode == 2
    assert 'did you mean "one"?' in done.stderr


def test_a_terminal_shows_bars(machine: Machine):
    configured(machine)
    machine.run("run", "-s", "one", "hi")
    code, screen = on_terminal(machine, "quota")
    assert code == 0
    assert "#####....." in screen


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1s"), (59, "59s"), (60, "1m 00s"), (3661, "1h 01m"), (90_000, "1d 01h")],
)
def test_lengths_of_time_are_written_to_two_units(seconds: float, text: str):
    assert duration(seconds) == text
