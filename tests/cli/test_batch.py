"""``leyline batch``: what it says, where, and with which exit code."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from leyline.cli.exits import CommandLineError
from leyline.cli.moments import read_moment
from tests.cli.conftest import Machine
from tests.cli.test_health import on_terminal


@pytest.fixture
def ready(machine: Machine) -> Machine:
    tool = machine.tool("tool", 'read -r line; echo "to $line"')
    machine.configure(
        f"services:\n  svc: {{command: {tool}, command_template: '{{command}}',"
        " quota_limits: {rpm: 600}}\n"
    )
    (machine.folder / "in.txt").write_text("one\ntwo\nthree\n")
    return machine


def test_the_sum_goes_to_standard_error_and_results_only_to_the_output(ready: Machine):
    done = ready.run("batch", "in.txt", "-o", "out.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(
        r"leyline: 3 of 3 rows done, 0 failed; \d+ tokens; out\.jsonl\n", done.stderr
    )
    again = ready.run("batch", "in.txt", "-o", "out.jsonl")
    assert again.stderr.startswith("leyline: going on: 3 of 3 rows are done\n")


def test_every_line_holds_what_was_given_and_what_came_of_it(ready: Machine):
    (ready.folder / "in.jsonl").write_text('{"id": "a", "prompt": "one", "tag": [1, "é"]}\n')
    assert ready.run("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    line = json.loads((ready.folder / "out.jsonl").read_text())
    assert list(line) == [
        "id", "input", "success", "text", "service", "model", "failure", "tokens", "cost_usd",
        "cost_estimated", "attempts", "started_at", "duration", "queued",
    ]  # fmt: skip
    assert line["id"] == "a"
    assert line["input"] == {"prompt": "one", "tag": [1, "é"]}
    assert (line["text"], line["service"], line["attempts"]) == ("to one", "svc", 1)
    assert (line["cost_usd"], line["cost_estimated"]) == (None, False)
    assert line["tokens"]["total"] > 0
    assert line["tokens"]["measured"] is False


def test_on_a_terminal_it_shows_how_far_it_is_in_eighty_columns(ready: Machine):
    ready.tool("tool", 'read -r line; sleep 1; echo "to $line"')
    code, shown = on_terminal(ready, "batch", "in.txt", "-o", "out.jsonl", "--concurrency", "1")
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "1 of 3" in plain
    assert re.search(r"svc +1 +1 +rpm 59\d of 600 left +ready", plain)
    assert "rows/s" in plain
    assert "3 of 3 rows done, 0 failed" in plain
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]+", plain))


def test_elsewhere_it_says_a_line_now_and_then(ready: Machine):
    ready.tool("tool", 'read -r line; sleep 2.5; echo "to $line"')
    done = ready.run("batch", "in.txt", "-o", "out.jsonl", "--concurrency", "1")
    said = done.stderr.splitlines()
    assert re.fullmatch(
        r"leyline: [12] of 3 rows done \((33|66) %\), 0 failed, [\d.]+ rows/\w+, \d+ tokens,"
        r" about [\d]+s left",
        said[0],
    )
    assert len(said) == 2
    assert "\x1b" not in done.stderr


def test_nobody_has_to_hear_how_far_it_is(ready: Machine):
    ready.tool("tool", 'read -r line; sleep 2.5; echo "to $line"')  # a line is said after 5 s
    ours, theirs = os.pipe()
    os.close(ours)
    done = ready.run("batch", "in.txt", "-o", "out.jsonl", "--concurrency", "1", stderr=theirs)
    os.close(theirs)
    assert done.returncode == 0
    assert len((ready.folder / "out.jsonl").read_text().splitlines()) == 3


def test_a_terminal_that_is_lost_is_no_end_of_it(ready: Machine):
    ready.tool("tool", 'read -r line; sleep 1; echo "to $line"')
    ours, theirs = os.openpty()
    process = ready.start(
        "batch", "in.txt", "-o", "out.jsonl", "-c", "1", "--max-cost", "1",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    while b"rows/s" not in os.read(ours, 65536):
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert len((ready.folder / "out.jsonl").read_text().splitlines()) == 3


def test_a_plan_runs_nothing_and_leaves_nothing(ready: Machine):
    ready.tool("tool", "touch ran; echo x")
    (ready.folder / "in.txt").write_text("word\n" * 12_000)
    done = ready.run(
        "batch", "in.txt", "-o", "out.jsonl", "--plan", "--run-seconds", "1", "-c", "100"
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["rows"] == "12,000"
    assert said["time"].startswith("about 19m ")  # 600 a minute, the first at once
    assert said["bottleneck"] == "rpm of svc"
    assert said["cost"] == "unknown"
    assert said["svc"] == "12,000 rows, 1.0 s each, assumed (--run-seconds)"
    assert sorted(path.name for path in ready.folder.iterdir()) == ["in.txt", "services.yaml"]


def test_a_plan_counts_what_is_left(ready: Machine):
    assert ready.run("batch", "in.txt", "-o", "out.jsonl").returncode == 0
    done = ready.run("batch", "in.txt", "-o", "out.jsonl", "--plan")
    assert done.stdout.startswith("rows        0; 3 more are done\n")
    (ready.folder / "in.txt").write_text("one\n\n \nfour\n\0\n")
    wrong = ready.run("batch", "in.txt", "-o", "out.jsonl", "--plan")
    assert wrong.returncode == 2
    assert "line 5: the prompt holds a NUL character" in wrong.stderr
    (ready.folder / "in.jsonl").write_text('{"prompt": "x", "files": ["missing.txt"]}\n')
    wrong = ready.run("batch", "in.jsonl", "-o", "new.jsonl", "--plan")
    assert wrong.returncode == 2
    assert 'line 1: the file "missing.txt" does not exist' in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.txt", "-o", "o"], "missing.txt: cannot be read: No such file or directory"),
        (["in.txt"], "missing option"),
        (["in.txt", "-o", "no/o"], "its folder does not exist"),
        (["in.txt", "-o", "."], "it is no plain file"),
        (["in.txt", "-o", "o" * 300], "cannot be written: File name too long"),
        (["in.txt", "-o", "o" * 250], "cannot be written: File name too long"),
        (["f" * 300, "-o", "o"], "cannot be read: File name too long"),
        (["in.txt", "-o", "o", "-s", "svx"], 'no service "svx"; did you mean "svc"?'),
        (["in.txt", "-o", "o", "--timeout", "0"], "a timeout must be a positive number"),
        (["in.txt", "-o", "o", "--template", "same"], "--template: it names no column"),
        (["in.txt", "-o", "o", "--template", "{"], "--template: "),
        (["in.txt", "-o", "o", "--until", "soon"], '"soon" is no time; write 07:00'),
        (["in.txt", "-o", "o", "--concurrency", "0"], "greater than or equal to 1"),
        (["-", "-o", "o"], "standard input: there is nothing on it"),
    ],
)
def test_mistakes_are_one_message_and_leave_nothing(ready: Machine, arguments, said: str):
    done = ready.run("batch", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("leyline: ")
    assert done.stderr.count("\n") == 1
    assert not list(ready.folder.glob("o*"))


def test_a_time_of_day_is_the_next_one():
    now = datetime(2026, 12, 24, 18, 30).astimezone()
    assert read_moment("18:31", now) == (now + timedelta(minutes=1)).timestamp()
    assert read_moment("18:30", now) == (now + timedelta(days=1)).timestamp()
    assert read_moment("2026-12-25T00:00", now) == datetime(2026, 12, 25).astimezone().timestamp()
    with_zone = read_moment("2027-01-01T00:00+00:00", now)
    assert with_zone == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    with pytest.raises(CommandLineError, match="has passed already"):
        read_moment("2026-12-24T18:00", now)
