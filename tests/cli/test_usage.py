"""``leyline usage``: what was spent, for people and for programs."""

import csv
import io
import json
import re
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from leyline.cli.exits import CommandLineError
from leyline.cli.periods import age, moment
from leyline.cli.usage import dollars
from leyline.usage.jsonl import JsonlSink
from leyline.usage.sqlite import SqliteSink
from tests.cli.conftest import Machine
from tests.cli.test_health import on_terminal
from tests.usage.records import record

HEADERS = ["runs", "failed", "refused", "requests", "input", "cached", "output", "reasoning",
           "tokens", "cost", "estimated", "unknown", "seconds"]  # fmt: skip
DAY = 86_400.0


def own_file(machine: Machine) -> Path:
    return machine.home / ".local" / "state" / "leyline" / "usage.sqlite3"


@pytest.fixture
def spent(machine: Machine) -> Machine:
    now = time.time()
    SqliteSink(own_file(machine)).write([
        record(at=now - 100 * DAY, service="old", session="before"),
        record(at=now - 60, service="one", model="gpt-5", session="s", measured=True,
               input_tokens=1000,
               output_tokens=200, total_tokens=1200, duration=2.0),
        record(at=now - 50, service="one", session="s", cost_usd=0.25, total_tokens=5),
        record(at=now - 40, service="two", session="t", success=False, failure="timeout"),
        record(at=now - 30, service="two", session="t", success=False, refused=True,
               failure="quota_exceeded", cost_usd=0.0),
    ])  # fmt: skip
    return machine


def test_the_users_own_file_is_shown_by_service(spent: Machine):
    done = spent.run("usage", "--since", "1h")
    assert (done.returncode, done.stderr) == (0, "")
    headers, one, two = (line.split("\t") for line in done.stdout.splitlines())
    assert headers == ["service", *HEADERS]
    assert one == ["one", "2", "0", "0", "2", "1,000", "0", "200", "0", "1,205", "0.253250",
                   "0.003250", "0", "2.0"]  # fmt: skip
    assert two[:4] == ["two", "1", "1", "1"]
    assert two[10:12] == ["-", "0.000000"]  # unknown, which is not zero


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("service", ["old", "one", "two"]),
        ("model", ["-", "gpt-5"]),
        ("session", ["before", "s", "t"]),
    ],
)
def test_it_is_added_up_by_what_is_asked(spent: Machine, by: str, keys: list[str]):
    lines = spent.run("usage", "--by", by).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [by, *keys]


def test_days_are_those_of_the_users_zone(spent: Machine):
    found = spent.run("usage", "--by", "day", "-s", "old", env={"TZ": "Asia/Tokyo"}).stdout
    (row,) = found.splitlines()[1:]
    then = time.time() - 100 * DAY + 9 * 3600
    assert row.startswith(time.strftime("%Y-%m-%d\t", time.gmtime(then)))


def test_json_has_rows_and_their_sum(spent: Machine):
    found = json.loads(spent.run("usage", "--json", "--service", "one").stdout)
    assert (found["by"], len(found["rows"])) == ("service", 1)
    assert found["rows"][0]["total_tokens"] == found["total"]["total_tokens"] == 1205
    unknown = json.loads(spent.run("usage", "--json", "--service", "two").stdout)
    assert unknown["total"]["cost_usd"] is None


def test_csv_is_read_back(spent: Machine):
    text = spent.run("usage", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["service"], row["runs"]) for row in rows] == [
        ("old", "1"), ("one", "2"), ("two", "1"),
    ]  # fmt: skip


def test_errors_are_counted_by_kind(spent: Machine):
    lines = spent.run("usage", "--errors").stdout.splitlines()
    rows = [line.split("\t")[:3] for line in lines]
    assert rows == [
        ["service", "error", "count"],
        ["two", "refused: quota_exceeded", "1"],
        ["two", "timeout", "1"],
    ]
    assert json.loads(spent.run("usage", "--errors", "--json").stdout)[0]["refused"] is True
    assert spent.run("usage", "--errors", "--csv").stdout.startswith("service,failure,refused,")


def test_a_terminal_is_told_what_to_know_of_the_cost(spent: Machine):
    code, screen = on_terminal(spent, "usage", "--since", "1h")
    assert code == 0
    assert "$0.2532" in screen
    assert "$0.0033 of the cost is estimated from tokens." in screen
    assert "What 1 run cost is unknown" in screen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen)
    assert all(len(line.rstrip()) <= 80 for line in plain.splitlines())


def test_where_nothing_is_recorded_it_says_so_and_makes_no_file(machine: Machine):
    done = machine.run("usage")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no usage is recorded" in done.stderr
    assert not own_file(machine).exists()
    assert "nothing that is recorded" in machine.run("usage", "--errors").stderr


def test_lines_of_json_are_read_too(machine: Machine):
    JsonlSink(machine.folder / "u.jsonl").write([record(service="lines")])
    assert "lines\t1" in machine.run("usage", "--file", "u.jsonl").stdout
    done = machine.run("usage", "prune", "--older-than", "1d", "--file", "u.jsonl")
    assert (done.returncode, "move it away" in done.stderr) == (2, True)


def test_pruning_deletes_what_is_old_and_says_how_many(spent: Machine):
    done = spent.run("usage", "prune", "--older-than", "90d")
    assert (done.returncode, done.stdout) == (0, "1 record deleted\n")
    assert spent.run("usage", "prune", "--older-than", "90d").stdout == "0 records deleted\n"
    assert "old" not in spent.run("usage").stdout
    assert "one" in spent.run("usage").stdout


def test_pruning_where_there_is_nothing_makes_no_file(machine: Machine):
    assert machine.run("usage", "prune", "--older-than", "90d").stdout == "0 records deleted\n"
    assert not own_file(machine).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "soon"), "--since: expected a time"),
        (("--until", "99999-01-01"), "--until: expected a time"),
        (("--by", "colour"), "session"),
        (("--json", "--csv"), "only one"),
        (("--file", "no.db"), 'no file "no.db"'),
        (("--file", "n" * 300), "File name too long"),
        (("prune", "--older-than", "9w", "--file", "n" * 300), "File name too long"),
        (("--since", "999999999w"), "expected a time"),
        (("prune",), "--older-than"),
        (("prune", "--older-than", "ninety"), "expected an age"),
    ],
)
def test_a_mistake_is_a_message(machine: Machine, arguments: tuple[str, ...], words: str):
    done = machine.run("usage", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_another_kind_is_a_message(machine: Machine):
    (machine.folder / "x.db").write_text("hello\n" * 200)
    done = machine.run("usage", "--file", "x.db")
    assert done.returncode == 2
    assert "not a SQLite database" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 90 * DAY), ("12h", 43_200), ("5m", 300), ("2w", 14 * DAY),
                          ("d", None), ("-1d", None), ("1.5d", None)],
)  # fmt: skip
def test_ages_are_read(text: str, seconds: float | None):
    assert age(text) == seconds


def test_moments_are_read_in_the_zone_of_the_user():
    now = datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    assert moment("1h", "--since", now) == now.timestamp() - 3600
    assert moment("today", "--since", now) == midnight.timestamp()
    assert moment("yesterday", "--since", now) == (midnight - timedelta(days=1)).timestamp()
    assert moment(f"{midnight:%Y-%m-%d}", "--since", now) == midnight.timestamp()
    assert moment("2026-01-01T00:00:00+00:00", "--since", now) == 1767225600.0
    assert moment(None, "--since", now) is None
    with pytest.raises(CommandLineError, match="--since"):
        moment("tomorrowish", "--since", now)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, "unknown"), (0.0, "$0.00"), (0.01234, "$0.0123"), (1234.5, "$1,234.50")],
)
def test_dollars_are_written_as_people_do(amount: float | None, text: str):
    assert dollars(amount) == text
