"""Rows as they stand in files: whatever is written is read back, and nothing else."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from leyline.batch.recipe import Recipe
from leyline.batch.source import Flaw, Format, Record, Source

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1).filter(
    lambda name: name == name.strip()
)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(data: bytes, form: Format) -> list[Record | Flaw]:
    return list(Source(name="in", stream=io.BytesIO(data), format=form).rows())


@given(st.lists(st.dictionaries(st.text(), VALUES), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_json_lines_are_read_as_they_were_written(rows: list[dict], end: str):
    data = "".join(json.dumps(row) + end for row in rows).encode()
    assert read(data, Format.JSONL) == [Record(k, row) for k, row in enumerate(rows, 1)]


@given(st.lists(NAMES, min_size=2, max_size=4, unique=True), st.data())
def test_tables_are_read_as_they_were_written(names: list[str], data: st.DataObject):
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names))))
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    writer.writerows(rows)
    found = read(written.getvalue().encode(), Format.CSV)
    assert [list(record.columns.values()) for record in found] == rows
    assert all(list(record.columns) == names for record in found)


@given(st.binary())
def test_no_bytes_at_all_make_it_raise(data: bytes):
    for form in Format:
        for record in read(data, form):
            assert record.line >= 1


def test_a_byte_order_mark_is_no_text():
    for form, data in ((Format.JSONL, b'{"prompt": "x"}'), (Format.LINES, b"x")):
        (record,) = read(b"\xef\xbb\xbf" + data, form)
        assert record.columns == {"prompt": "x"}


def test_a_table_whose_first_line_cannot_be_read_is_no_table():
    found = read("prompt,naïve\nhello,1\nyou,2\n".encode("latin-1"), Format.CSV)
    assert [str(flaw) for flaw in found] == [
        "line 1: no UTF-8 text (byte 10 is 0xef); convert it first"
    ]


def test_a_line_number_is_where_a_row_begins():
    found = read(b'a,b\n1,"x\ny"\n\n3,4\n', Format.CSV)
    assert [record.line for record in found] == [2, 5]


@given(st.dictionaries(st.sampled_from("abc"), st.text(min_size=1)), st.text())
def test_a_template_puts_in_whole_what_stands_in_the_columns(columns: dict, between: str):
    escaped = between.replace("{", "{{").replace("}", "}}")
    recipe = Recipe.of(f"{escaped}{{a}}{escaped}{{b}}.")
    columns = {"a": "x{b}", "b": 7, **columns}
    parts = recipe._filled(columns)
    assert "".join(parts) == f"{between}{columns['a']}{between}{columns['b']}."
