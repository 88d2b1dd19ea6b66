"""``leyline run``: what comes out, where, and with which exit code."""

import calendar
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from leyline import ExecutionResult, FailureKind
from tests.cli.conftest import Machine
from tests.cli.test_health import on_terminal
from tests.processes import is_alive

STUBBORN = Path(__file__).parent.parent / "programs" / "stubborn.sh"


def test_the_answer_goes_to_standard_output_and_nothing_else_does(machine: Machine):
    machine.services(svc="echo noise >&2; cat")
    done = machine.run("run", "-s", "svc", "Hello ✓")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello ✓\n", "")


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_the_prompt_is_read_from_standard_input(machine: Machine, arguments):
    machine.services(svc="cat")
    done = machine.run("run", *arguments, "-s", "svc", stdin="two\nlines")
    assert (done.returncode, done.stdout) == (0, "two\nlines\n")


def test_a_prompt_that_begins_with_a_dash_follows_two_dashes(machine: Machine):
    machine.services(svc="cat")
    assert machine.run("run", "-s", "svc", "--", "--help").stdout == "--help\n"


def test_standard_input_is_not_touched_where_a_prompt_is_given(machine: Machine):
    machine.services(svc="cat")
    reader, writer = os.pipe()
    try:
        process = machine.start(
            "run", "-s", "svc", "hi", stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            assert process.communicate(timeout=60)[0] == b"hi\n"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("stdin", ["", " \n\t"])
def test_an_empty_prompt_is_a_mistake(machine: Machine, stdin):
    machine.services(svc="cat")
    done = machine.run("run", stdin=stdin)
    assert done.returncode == 2
    assert done.stderr == ("leyline: the prompt on standard input is empty; give it some text\n")


def test_no_prompt_at_a_terminal_says_how_to_give_one(machine: Machine):
    ours, theirs = os.openpty()
    try:
        process = machine.start("run", stdin=theirs, stdout=-1, stderr=-1)
        with process:
            stdout, stderr = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (process.returncode, stdout) == (2, b"")
    assert stderr.startswith(b"leyline: there is no prompt; give one")
    assert stderr.count(b"\n") == 1


def test_standard_input_that_is_not_text_is_a_mistake(machine: Machine):
    machine.services(svc="cat")
    done = machine.run("run", stdin=b"abc\xff")
    assert done.returncode == 2
    assert "not UTF-8 text (byte 4 is 0xff)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_closed_standard_streams_are_survived(machine: Machine):
    machine.services(svc="cat")
    done = machine.run("run", "hi", preexec_fn=lambda: [os.close(fd) for fd in (0, 1, 2)])
    assert done.returncode == 0


def test_model_and_files_reach_the_service(machine: Machine):
    tool = machine.tool("tool", 'for word; do echo "[$word]"; done; cat')
    machine.configure(f"""
        services:
          svc:
            command: {tool}
            command_template: "{{command}} --model {{model}} {{files}}"
        """)
    (machine.folder / "a file.txt").write_text("x")
    done = machine.run("run", "-m", "big", "-f", "a file.txt", "--file", "services.yaml", "hi")
    assert done.stdout == "[--model]\n[big]\n[@a file.txt]\n[@services.yaml]\nhi\n"


def test_a_file_that_is_not_there_is_a_mistake(machine: Machine):
    machine.services(svc="cat")
    done = machine.run("run", "-f", "gone.txt", "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'leyline: svc: file "gone.txt" does not exist\n'


def test_a_file_of_a_name_too_long_is_a_mistake(machine: Machine):
    machine.services(svc="cat")
    done = machine.run("run", "-f", "n" * 300, "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_a_book_that_cannot_be_written_is_one_message_beside_the_answer(machine: Machine):
    machine.services(svc="cat")
    book = machine.home / ".local" / "state" / "leyline" / "usage.sqlite3"
    book.parent.mkdir(parents=True)
    book.write_text("not a database\n" * 100)
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (0, "hi\n")
    assert done.stderr.startswith(f"leyline: usage in {book}: it is not a SQLite database; ")
    assert done.stderr.endswith("; 1 record is lost\n")
    assert done.stderr.count("\n") == 1


def test_json_is_the_whole_result(machine: Machine):
    machine.services(svc="echo noise >&2; cat")
    done = machine.run("run", "--json", "hi ✓")
    document = json.loads(done.stdout)
    assert document.keys() == {field.name for field in ExecutionResult.__attrs_attrs__}
    assert document["usage"].keys() >= {"input_tokens", "cost_usd", "measured"}
    told = {key: document[key] for key in ("success", "text", "stderr", "service", "failure")}
    assert told == {
        "success": True, "text": "hi ✓", "stderr": "noise\n", "service": "svc", "failure": None,
    }  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓" in done.stdout


def test_json_says_the_kind_of_a_failure_as_text(machine: Machine):
    machine.services(svc="echo partial; echo broken >&2; exit 7")
    done = machine.run("run", "--json", "hi")
    document = json.loads(done.stdout)
    assert document["failure"]["kind"] == FailureKind.CRASHED.value
    assert (document["success"], document["exit_code"], done.returncode) == (False, 7, 1)
    assert done.stderr.startswith("leyline: svc: crashed: ")


def test_a_failure_is_one_line_on_standard_error_and_nothing_on_output(machine: Machine):
    machine.services(svc="echo partial; printf 'broken\\n\\033[31mtwice\\n' >&2; exit 7")
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("leyline: svc: crashed: ")
    assert done.stderr.count("\n") == 1
    assert "\033" not in done.stderr


LIMITED = """
    services:
      svc:
        command: {tool}
        command_template: "{{command}}"
        error_patterns:
          - {{kind: rate_limited, match: "slow down"}}
          - {{kind: rate_limited, match: "retry in (?P<retry_after>[0-9]+) s"}}
          - {{kind: quota_exhausted, match: "used up until (?P<until>[0-9]+)"}}
    """


@pytest.mark.parametrize(
    ("said", "kind", "recovers"),
    [
        ("slow down", "rate_limited", False),
        ("retry in 3600 s", "rate_limited", True),
        (f"used up until {int(time.time()) + 90_000}", "quota_exhausted", True),
    ],
    ids=["not said when", "after a time", "at a moment"],
)
def test_a_service_that_recovers_is_worth_trying_later(machine: Machine, said, kind, recovers):
    tool = machine.tool("tool", f"echo '{said}' >&2; exit 1")
    machine.configure(LIMITED.format(tool=tool))
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"leyline: svc: {kind}: ")
    assert ("; try again at " in done.stderr) == recovers
    assert done.stderr.count("\n") == 1


def test_the_moment_to_come_back_is_in_local_time(machine: Machine):
    moment = int(time.time()) + 90_000
    tool = machine.tool("tool", f"echo 'used up until {moment}' >&2; exit 1")
    machine.configure(LIMITED.format(tool=tool))
    done = machine.run("run", "hi", env={"TZ": "JST-9"})
    shown = time.strftime("%Y-%m-%d %H:%M:%S JST", time.gmtime(moment + 9 * 3600))
    assert done.stderr.endswith(f"; try again at {shown}\n")


def test_the_time_to_come_back_counts_from_the_end_of_the_run(machine: Machine):
    tool = machine.tool("tool", "echo 'retry in 3600 s' >&2; exit 1")
    machine.configure(LIMITED.format(tool=tool))
    before = time.time()
    done = machine.run("run", "hi", env={"TZ": "UTC0"})
    shown = done.stderr.rpartition(" at ")[2].strip()
    moment = calendar.timegm(time.strptime(shown, "%Y-%m-%d %H:%M:%S UTC"))
    assert before + 3599 <= moment <= time.time() + 3601


def test_a_time_out_has_its_own_exit_code(machine: Machine):
    machine.services(svc="echo some; sleep 600")
    done = machine.run("run", "--timeout", "0.3", "hi")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.startswith("leyline: svc: timeout: ")


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_time_out_of_nothing_is_a_mistake(machine: Machine, value):
    machine.services(svc="cat")
    done = machine.run("run", "--timeout", value, "hi")
    assert done.returncode == 2
    assert "positive number of seconds" in done.stderr


def test_a_command_that_is_not_there_is_nothing_started(machine: Machine):
    machine.configure("services: {svc: {command: no-such-tool}}\n")
    done = machine.run("run", "-s", "svc", "hi")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith('leyline: svc: command "no-such-tool" was not found on PATH')


def test_a_misspelt_service_gets_a_suggestion(machine: Machine):
    machine.services(svc="cat", other="cat")
    done = machine.run("run", "-s", "svcc", "hi")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'no service "svcc"; did you mean "svc"?' in done.stderr


def test_a_known_tool_that_is_not_configured_is_told_how_to_be(machine: Machine):
    machine.services(svc="cat")
    done = machine.run("run", "-s", "gemini", "hi")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr == (
        'leyline: the tool "gemini" is not one of the services in services.yaml; '
        'add a line "gemini:" under "services:" there\n'
    )


def test_the_advice_for_a_tool_that_is_not_configured_works(machine: Machine):
    machine.tool("gemini", """echo '{"response": "fine"}'""")
    path = machine.services(svc="cat")
    path.write_text(path.read_text() + "  gemini:\n")
    assert machine.run("run", "-s", "gemini", "hi").stdout == "fine\n"


def test_with_no_configuration_an_installed_tool_is_a_service(machine: Machine):
    machine.tool("leyline-local", """printf '{"text": "%s"}' "$(cat)" """)
    done = machine.run("run", "--service", "local", "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


def test_with_no_configuration_a_known_tool_that_is_missing_is_nothing_started(machine: Machine):
    done = machine.run("run", "--service", "gemini", "hi")
    assert (done.returncode, done.stdout) == (3, "")
    assert 'command "gemini" was not found on PATH' in done.stderr


def test_a_configuration_without_services_says_what_to_do(machine: Machine):
    machine.configure("services:\n")
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        done.stderr == 'leyline: there is no service in services.yaml; name one under "services:"\n'
    )


def test_the_first_usable_service_answers(machine: Machine):
    one, two = machine.tool("one", "echo one"), machine.tool("two", "echo two")
    machine.configure(f"""
        services:
          gone: {{command: no-such-tool}}
          sick: {{command: {one}, health_check_cmd: "sh -c 'exit 2'"}}
          well: {{command: {two}, health_check_cmd: "sh -c 'exit 0'"}}
          more: {{command: {one}}}
        """)
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (0, "two\n")


def test_where_no_service_is_usable_each_says_why(machine: Machine):
    machine.configure("services: {one: {command: no-such-one}, two: {command: no-such-two}}\n")
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (3, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "leyline: none of 2 services is usable:"
    assert [line.split(":")[0] for line in lines[1:]] == ["  one", "  two"]
    assert "no-such-two" in lines[2]


def test_every_problem_of_a_configuration_is_listed(machine: Machine):
    machine.configure("services: {svc: {command: cat, timeout_seconds: -1, modles: [a]}}\n")
    done = machine.run("run", "hi")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "leyline: services.yaml: 2 problems:"
    assert len(lines) == 3
    assert all(line.startswith("  services.svc") for line in lines[1:])


@pytest.mark.parametrize(
    "name", ["gone.yaml", "folder.yaml", "binary.yaml", "broken.yaml", "locked.yaml"]
)
def test_a_configuration_that_cannot_be_read_is_one_message(machine: Machine, name):
    (machine.folder / "folder.yaml").mkdir()
    (machine.folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    machine.configure("services: {svc: [", "broken.yaml")
    os.symlink("locked.yaml", machine.folder / "locked.yaml")  # a loop: unreadable also for root
    done = machine.run("run", "--config", name, "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"leyline: {name}: ")
    assert done.stderr.count("\n") == 1


def test_the_configuration_named_is_the_one_that_is_read(machine: Machine):
    machine.services(svc="cat")
    tool = machine.tool("other", "echo other")
    machine.configure(f"services: {{svc: {{command: {tool}}}}}\n", "other.yaml")
    assert machine.run("run", "--config", "other.yaml", "hi").stdout == "other\n"
    assert machine.run("run", "hi", env={"LEYLINE_CONFIG": "other.yaml"}).stdout == "other\n"


def test_a_reader_that_has_had_enough_is_no_error(machine: Machine):
    machine.services(svc="head -c 5000000 /dev/zero | tr '\\0' x; echo")
    reader, writer = os.pipe()
    process = machine.start("run", "hi", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    with process:
        assert os.read(reader, 1) == b"x"
        os.close(reader)
        assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0


def test_a_full_disk_is_one_message(machine: Machine):
    machine.services(svc="cat")
    with open("/dev/full", "wb") as full:
        done = machine.run("run", "hi", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "leyline: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_stops_the_process_tree(machine: Machine, times, tmp_path):
    pids = tmp_path / "pids"
    machine.configure(f"""
        services:
          svc:
            command: {STUBBORN}
            command_template: "{{command}} {pids}"
            grace_seconds: 0.2
        """)
    process = machine.start("run", "hi", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        until(lambda: pids.exists() and pids.read_text().strip())
        started = [int(word) for word in pids.read_text().split()]
        assert all(map(is_alive, started))
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, b"", b"leyline: interrupted\n")
    until(lambda: not any(map(is_alive, started)))


def until(condition, within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failover_asks_one_after_another_in_the_order_given(machine: Machine):
    machine.services(
        one="echo one >> asked; exit 7", two="echo two >> asked; cat", three="echo 3 >> asked; cat"
    )
    done = machine.run("run", "--failover", "-s", "one", "-s", "two", "-s", "three", "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")
    asked = (machine.folder / "asked").read_text().split()
    assert list(dict.fromkeys(asked)) == ["one", "two"]
    (machine.folder / "asked").unlink()
    machine.run("run", "--failover", "-s", "three", "-s", "one", "hi")
    assert (machine.folder / "asked").read_text() == "3\n"


def test_failover_asks_all_where_none_is_named(machine: Machine):
    machine.services(one="exit 7", two="cat")
    assert machine.run("run", "--failover", "hi").stdout == "hi\n"


def test_a_race_has_the_first_good_answer(machine: Machine):
    machine.services(slow="sleep 600", bad="exit 7", good="cat")
    done = machine.run("run", "--race", "--json", "hi")
    assert (done.returncode, json.loads(done.stdout)["service"]) == (0, "good")


def test_a_tool_that_fails_has_failed_where_the_shell_ignores_that_children_end(machine: Machine):
    machine.services(bad="echo half an; exit 3", good="cat")
    heeded = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as after: trap "" CHLD
    try:
        bad = machine.start("run", "-s", "bad", "hi", stdout=-1, stderr=-1)
        good = machine.start("run", "-s", "good", "hi", stdout=-1, stderr=-1)
    finally:
        signal.signal(signal.SIGCHLD, heeded)
    with bad, good:
        answers = [process.communicate(timeout=60)[0] for process in (bad, good)]
    assert (bad.returncode, good.returncode) == (1, 0)
    assert answers == [b"", b"hi\n"]


@pytest.mark.parametrize("how", ["--failover", "--race"])
@pytest.mark.parametrize(
    ("scripts", "code"),
    [
        ({"one": "exit 7", "two": "exit 8"}, 1),
        ({"one": "sleep 600", "two": "sleep 600"}, 124),
        ({"one": "sleep 600", "two": "exit 8"}, 1),
    ],
)
def test_where_all_fail_each_says_why(machine: Machine, how, scripts, code):
    machine.services(**scripts)
    done = machine.run("run", how, "--timeout", "1", "hi")
    assert (done.returncode, done.stdout) == (code, "")
    first, *lines = done.stderr.splitlines()
    assert first == "leyline: all 2 services failed:"
    assert sorted(line.split(":")[0] for line in lines) == ["  one", "  two"]


def test_where_one_of_those_that_failed_recovers_it_is_worth_trying_later(machine: Machine):
    tool = machine.tool("tool", "echo 'retry in 3600 s' >&2; exit 1")
    machine.configure(LIMITED.format(tool=tool) + "  gone: {command: no-such-tool}\n")
    done = machine.run("run", "--race", "hi")
    assert (done.returncode, done.stdout) == (4, "")


def test_where_none_can_be_started_nothing_was(machine: Machine):
    machine.configure("services: {one: {command: no-such-one}, two: {command: no-such-two}}\n")
    done = machine.run("run", "--failover", "hi")
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-s", "one", "-s", "two"], "--failover or --race"),
        (["--failover", "--race"], "exclude each other"),
    ],
)
def test_several_services_need_a_way_to_be_asked(machine: Machine, arguments, message):
    machine.services(one="cat", two="cat")
    done = machine.run("run", *arguments, "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("how", ["--failover", "--race"])
def test_a_terminal_is_told_who_answered(machine: Machine, how):
    machine.services(one="exit 7", two="cat")
    code, screen = on_terminal(machine, "run", how, "hi")
    assert code == 0
    assert "leyline: two answered" in screen
