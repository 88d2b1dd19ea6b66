"""The whole input is checked before anything runs: every problem at once, each with its line."""

import json

import pytest

from tests.batch.pipelines import Pipeline
from tests.cli.conftest import Machine


@pytest.fixture
def ready(machine: Machine) -> Machine:
    Pipeline(machine, 1).prepare()
    return machine


def run(machine: Machine, name: str, data: bytes | str, *options: str, stdin: bytes = b""):
    if name != "-":
        path = machine.folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return machine.run("batch", name, "-o", "o.jsonl", *options, stdin=stdin)


def lines(machine: Machine) -> list[dict]:
    return [json.loads(line) for line in (machine.folder / "o.jsonl").read_text().splitlines()]


def prompts(machine: Machine) -> list[str]:
    return sorted(line["text"].removeprefix("to ") for line in lines(machine))


def test_every_problem_is_named_with_its_line_and_nothing_runs_or_is_left(ready: Machine):
    rows = [
        '{"id": "a", "prompt": "one"}',
        "",
        '{"id": "a", "prompt": "two"}',
        '{"id": "b"}',
        '{"id": "c", "prompt": " "}',
        "[1]",
        "{",
        '{"prompt": "x\\u0000y"}',
        '{"prompt": "x", "service": "nobody"}',
        '{"prompt": "x", "files": ["missing.txt"]}',
        '{"prompt": "\\ud800"}',
        '{"id": true, "prompt": "x"}',
        '{"id": 3, "prompt": NaN}',
        '{"prompt": "x", "n": 1e999}',
        json.dumps({"prompt": "x", "files": ["f" * 300]}),
    ]
    data = "\n".join(rows).encode() + b"\n\xff\n"
    done = run(ready, "in.jsonl", data)
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert said[0] == "leyline: in.jsonl: 14 problems; nothing was run:"
    wanted = [
        'line 3: the id "a" is that of line 1',
        'line 4: there is no column "prompt" (there are: id); or give --template',
        "line 5: the prompt is empty",
        "line 6: expected one JSON object a line, got an array",
        "line 7: no JSON: ",
        "line 8: the prompt holds a NUL character",
        'line 9: there is no service "nobody"; known: svc',
        'line 10: the file "missing.txt" does not exist',
        "line 11: the prompt holds half of a character",
        'line 12: "id" must be text or a number, got true',
        "line 13: no JSON: NaN is no number of JSON",
        "line 14: no JSON: 1e999 is no number of JSON",
        f'line 15: the file "{"f" * 300}" does not exist',
        "line 16: no UTF-8 text (byte 1 is 0xff)",
    ]
    for line, start in zip(said[1:], wanted, strict=True):
        assert line.strip().startswith(start)
    assert not (ready.folder / "log").read_text()
    assert not list(ready.folder.glob("o.jsonl*"))


def test_plain_lines_are_prompts_known_by_their_number(ready: Machine):
    done = run(ready, "in.txt", b"\xef\xbb\xbfone\r\n\n  \ntwo\n" + "drei ✓".encode())
    assert done.returncode == 0, done.stderr
    assert {line["id"]: line["text"] for line in lines(ready)} == {
        1: "to one", 4: "to two", 5: "to drei ✓",
    }  # fmt: skip


def test_tables_may_hold_line_breaks_in_quotes(ready: Machine):
    ready.tool("tool", "cat")
    table = '\ufeffid,text,n\r\na,"two\nlines, quoted ""so""",1\r\n\r\nb,plain,2\r\n,"third",3\r\n'
    done = run(ready, "in.csv", table, "--template", "Do: {text} {{x}}", "--ordered")
    assert done.returncode == 0, done.stderr
    assert [(line["id"], line["text"], line["input"]["n"]) for line in lines(ready)] == [
        ("a", 'Do: two\nlines, quoted "so" {x}', "1"),
        ("b", "Do: plain {x}", "2"),
        (6, "Do: third {x}", "3"),
    ]


def test_a_table_with_a_row_of_another_width_says_which(ready: Machine):
    done = run(ready, "in.csv", 'prompt,n\n"a\nb",1\nc,d,e\n')
    assert done.returncode == 2
    assert "line 4: it has 3 columns, and the first line names 2" in done.stderr


def test_a_huge_line_is_a_row_like_any_other(ready: Machine):
    ready.tool("tool", "tr -d x | head -c 100")
    done = run(ready, "in.jsonl", json.dumps({"prompt": "x" * 3_000_000 + "end"}))
    assert done.returncode == 0, done.stderr
    assert lines(ready)[0]["text"] == "end"


def test_a_template_asks_only_for_columns_that_are_there(ready: Machine):
    rows = '{"text": "a", "n": 7}\n{"text": null}\n'
    done = run(ready, "in.jsonl", rows, "--template", "{text}: {n}")
    assert done.returncode == 2
    assert 'line 2: there is no column "text", which the template asks for' in done.stderr
    bad = run(ready, "in.jsonl", rows, "--template", "{text!r}")
    assert bad.returncode == 2
    assert "--template" in bad.stderr


def test_a_row_says_for_itself_who_is_asked_with_which_model_and_files(ready: Machine):
    (ready.folder / "f.txt").write_text("of the file")
    one, two = ready.tool("first", "echo first"), ready.tool("second", "cat")
    ready.configure(
        "services:\n"
        f"  svc: {{command: {one}, command_template: '{{command}}'}}\n"
        f"  two: {{command: {two}, supports_files: true,"
        " command_template: '{command} {model}', files_via: inline}\n"
    )
    rows = [
        {"id": 1, "prompt": "p"},
        {"id": 2, "prompt": "p", "service": "two", "model": "m", "files": ["f.txt"]},
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows)
    done = run(ready, "in.jsonl", data, "--service", "svc", "--ordered")
    assert done.returncode == 0, done.stderr
    first, second = lines(ready)
    assert (first["service"], first["text"]) == ("svc", "first")
    assert second["service"] == "two"
    assert second["model"] == "m"
    assert "of the file" in second["text"]


def test_standard_input_is_kept_so_that_the_batch_can_go_on_without_it(ready: Machine):
    done = run(ready, "-", "", stdin=b"one\ntwo\n")
    assert (done.returncode, prompts(ready)) == (0, ["one", "two"])
    (ready.folder / "o.jsonl").write_bytes(b"")
    again = run(ready, "-", "")
    assert (again.returncode, prompts(ready)) == (0, ["one", "two"])


def begun_with_a_template(ready: Machine) -> None:
    """A batch of three rows from standard input, one of which is answered."""
    rows = b"".join(b'{"n": %d}\n' % number for number in (1, 2, 3))
    ready.tool("tool", 'read -r line; echo "to $line"; exit $((${line#row } > 1))')
    options = ("--format", "jsonl", "--template", "row {n}", "--max-failures", "1", "-c", "1")
    assert run(ready, "-", "", *options, stdin=rows).returncode == 1
    assert len(lines(ready)) == 2
    ready.tool("tool", 'read -r line; echo "to $line"')


@pytest.mark.parametrize("options", [(), ("--template", "row {n}")])
def test_a_batch_goes_on_without_its_input_by_the_template_it_began_with(
    ready: Machine, options: tuple[str, ...]
):
    begun_with_a_template(ready)
    again = run(ready, "-", "", "--retry-failed", *options)
    assert (again.returncode, prompts(ready)) == (0, ["row 1", "row 2", "row 3"]), again.stderr


def test_another_template_is_refused_or_accepted_also_without_the_input(ready: Machine):
    begun_with_a_template(ready)
    other = ("--template", "OTHER {n}")
    refused = run(ready, "-", "", *other)
    assert (refused.returncode, len(lines(ready))) == (2, 2)
    assert "standard input: it is not what this batch began with: --template" in refused.stderr
    accepted = run(ready, "-", "", *other, "--accept-changes")
    assert (accepted.returncode, prompts(ready)) == (0, ["OTHER 1", "OTHER 2", "OTHER 3"])
    wrong = run(ready, "-", "", "--template", "{missing}", "--accept-changes")
    assert wrong.returncode == 2
    assert 'line 1: there is no column "missing"' in wrong.stderr
    assert len(lines(ready)) == 3


def test_rows_that_are_in_the_journal_are_checked_as_those_of_an_input(ready: Machine):
    (ready.folder / "f.txt").write_text("of the file")
    row = b'{"prompt": "one", "files": ["f.txt"]}\n'
    tool = ready.bin / "tool"
    ready.configure(
        f"services: {{svc: {{command: {tool}, supports_files: true,"
        " command_template: '{command}', files_via: inline}}\n"
    )
    assert run(ready, "-", "", "--format", "jsonl", stdin=row).returncode == 0
    (ready.folder / "f.txt").unlink()
    done = run(ready, "-", "")
    assert done.returncode == 2
    assert 'standard input: line 1: the file "f.txt" does not exist' in done.stderr


def test_rows_on_standard_input_may_be_json(ready: Machine):
    done = run(ready, "-", "", "--format", "jsonl", stdin=b'{"id": "z", "prompt": "one"}\n')
    assert (done.returncode, lines(ready)[0]["id"]) == (0, "z")


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_an_input_without_rows_is_a_mistake(ready: Machine, data: bytes):
    done = run(ready, "in.txt", data)
    assert done.returncode == 2
    assert "there are no rows in it" in done.stderr


def test_the_output_is_never_the_input(ready: Machine):
    (ready.folder / "o.jsonl").write_text('{"prompt": "x"}\n')
    for name in ("o.jsonl", "./o.jsonl", str(ready.folder / "o.jsonl")):
        done = ready.run("batch", name, "-o", "o.jsonl")
        assert done.returncode == 2
        assert "it is the input" in done.stderr
    assert (ready.folder / "o.jsonl").read_text() == '{"prompt": "x"}\n'


def test_a_file_of_somebody_else_is_not_written_over(ready: Machine):
    (ready.folder / "o.jsonl").write_text("precious\n")
    done = run(ready, "in.txt", "one\n")
    assert done.returncode == 2
    assert "there is something in it, and no journal of it" in done.stderr
    assert (ready.folder / "o.jsonl").read_text() == "precious\n"


def test_a_changed_input_is_named_row_by_row_and_runs_only_when_accepted(ready: Machine):
    before = '{"id": "a", "prompt": "1"}\n{"id": "b", "prompt": "2"}\n{"id": "c", "prompt": "3"}\n'
    after = '{"id": "a", "prompt": "1"}\n{"id": "b", "prompt": "X"}\n{"id": "d", "prompt": "4"}\n'
    assert run(ready, "in.jsonl", before).returncode == 0
    refused = run(ready, "in.jsonl", after)
    assert refused.returncode == 2
    assert "rows: 1 new, 1 changed, 1 gone" in refused.stderr
    for line, key, what in ((3, "d", "new"), (2, "b", "changed"), (3, "c", "gone")):
        assert f'line {line} (id "{key}") is {what}' in refused.stderr
    assert prompts(ready) == ["1", "2", "3"]
    log = ready.folder / "log"
    log.write_text("")
    assert run(ready, "in.jsonl", after, "--accept-changes", "--ordered").returncode == 0
    assert [line["text"] for line in lines(ready)] == ["to 1", "to X", "to 4"]
    assert sorted(log.read_text().split()) == ["4", "X"]


def test_another_template_makes_other_prompts_of_all(ready: Machine):
    assert run(ready, "in.jsonl", '{"t": "1"}\n', "--template", "a {t}").returncode == 0
    refused = run(ready, "in.jsonl", '{"t": "1"}\n', "--template", "b {t}")
    assert refused.returncode == 2
    assert "--template is another, and so every prompt" in refused.stderr
    again = run(ready, "in.jsonl", '{"t": "1"}\n', "--template", "b {t}", "--accept-changes")
    assert (again.returncode, prompts(ready)) == (0, ["b 1"])


def test_changed_options_are_named(ready: Machine):
    assert run(ready, "in.txt", "one\n").returncode == 0
    done = run(ready, "in.txt", "one\n", "--service", "svc", "--timeout", "5")
    assert done.returncode == 0
    assert "--service was not given, and is svc from here on" in done.stderr
    assert "--timeout was not given, and is 5.0 from here on" in done.stderr
