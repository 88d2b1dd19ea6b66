"""Reading what a tool wrote, however broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.config import OutputFormat
from leyline.outcome.document import read_document

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


def read(stdout: str, output_format: OutputFormat, stderr: str = ""):
    return read_document(stdout, stderr, {}, output_format)


def test_text_is_the_answer_itself():
    document = read('{"a": 1}', OutputFormat.TEXT)
    assert (document.root["out"], document.whole, document.is_text) == ('{"a": 1}', True, True)


@pytest.mark.parametrize("noise", ["", "Warning: old version\n", "(node:1) [X] {weird}\n{\n"])
def test_json_after_warnings_is_found(noise: str):
    document = read(
        noise + json.dumps({"a": [1, {"b": 2}]}, indent=1) + "\nbye\n", OutputFormat.JSON
    )
    assert document.root["out"] == {"a": [1, {"b": 2}]}
    assert document.whole


def test_truncated_json_is_not_whole():
    document = read('{"a": {"b": "c', OutputFormat.JSON)
    assert (document.root["out"], document.whole) == (None, False)


def test_lines_that_are_not_json_are_passed_over():
    document = read('{"a": 1}\nwarning!\n\n{"b": 2}\n', OutputFormat.JSONL)
    assert document.root["out"] == [{"a": 1}, {"b": 2}]
    assert document.whole


def test_lines_cut_off_at_the_end_are_not_whole():
    document = read('{"a": 1}\n{"b": ', OutputFormat.JSONL)
    assert (document.root["out"], document.whole) == ([{"a": 1}], False)


@pytest.mark.parametrize(
    ("stdout", "out", "is_text"),
    [
        ('{"a": 1}', {"a": 1}, False),
        ('{"a": 1}\n{"b": 2}\n', [{"a": 1}, {"b": 2}], False),
        ('{"a": 1}\nbut then prose', '{"a": 1}\nbut then prose', True),
        ("42", "42", True),
        ("", "", True),
    ],
)
def test_auto_takes_what_parses_as_a_whole(stdout: str, out: object, is_text: bool):
    document = read(stdout, OutputFormat.AUTO)
    assert (document.root["out"], document.is_text) == (out, is_text)


def test_the_last_object_on_standard_error_is_found_behind_stack_traces():
    trace = "Error: x {\n    at y\n{not json\n"
    error = json.dumps({"error": {"message": "m"}}, indent=2)
    assert read("", OutputFormat.JSON, trace + error + "\n").root["err"] == {
        "error": {"message": "m"}
    }
    assert read("", OutputFormat.JSON, trace).root["err"] is None


def test_files_are_read_and_broken_ones_are_null():
    document = read_document("", "", {"good": '{"a": 1}', "bad": "{"}, OutputFormat.JSON)
    assert document.root["good"] == {"a": 1}
    assert document.root["bad"] is None


@pytest.mark.parametrize("output_format", list(OutputFormat))
@pytest.mark.parametrize(
    "stdout",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "{\n" * 100_000,
        "9" * 10_000,
        "\0\0",
        "NaN",
        '{"a": 1e999}',
    ],
    ids=["deep list", "deep object", "many braces", "long number", "NUL", "NaN", "infinity"],
)
def test_hostile_output_is_read_without_a_crash(stdout: str, output_format: OutputFormat):
    read(stdout, output_format, stdout)


@given(st.text(), st.text(), st.sampled_from(OutputFormat))
def test_no_output_breaks_the_reader(stdout: str, stderr: str, output_format: OutputFormat):
    assert set(read(stdout, output_format, stderr).root) == {"out", "err"}


@given(JSON_VALUES)
def test_every_document_is_read_back(value: object):
    out = read(json.dumps(value), OutputFormat.JSON).root["out"]
    assert out == value
    lines = read(json.dumps([value]) + "\n" + json.dumps({"v": value}), OutputFormat.JSONL)
    assert lines.root["out"] == [[value], {"v": value}]
