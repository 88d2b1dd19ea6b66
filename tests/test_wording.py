"""What people read: one line, bounded, without control characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.wording import first_line, last_lines, one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("  two\n\n lines\t\r\n", "two lines"),
        ("\x1b[1;31mred\x1b[0m alert", "red alert"),
        ("\x1b]0;a title\x07shown", "shown"),
        ("bell\a nul\0 \u202eright to left", "bell nul right to left"),
        ("", ""),
    ],
)
def test_a_line_has_no_breaks_colours_or_control_characters(text: str, line: str):
    assert one_line(text) == line


def test_a_long_line_is_cut_where_it_matters_least():
    assert one_line("abcdef", 4) == "abc…"
    assert last_lines("abcdef", 4) == "…def"
    assert one_line("abcd", 4) == last_lines("abcd", 4) == "abcd"


@given(st.text(), st.integers(2, 50))
def test_no_text_makes_a_line_that_is_too_long_or_cannot_be_printed(text: str, limit: int):
    for line in (one_line(text, limit), first_line(text, limit), last_lines(text, limit)):
        assert len(line) <= limit
        assert line.isprintable()


@pytest.mark.parametrize(
    ("text", "line"),
    [("\n \n\x1b[0m\n v1.2 \nmore", "v1.2"), ("", ""), ("\n\n", ""), ("one", "one")],
)
def test_the_first_line_is_the_first_that_is_not_blank(text: str, line: str):
    assert first_line(text, 100) == line


def test_the_last_lines_are_the_last_that_are_not_blank():
    assert last_lines("one\ntwo\n\nthree\n\x1b[0m\nfour\n\n") == "two / three / four"
    assert last_lines("\n \n") == ""


def test_a_message_out_of_megabytes_looks_only_where_it_must():
    blank = "\n" * 1_000_000
    assert one_line("x" + blank + "y") == "x"
    assert last_lines("x" + blank + "y") == "y"
