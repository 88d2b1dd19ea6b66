"""What names of stores stand for."""

from pathlib import Path

import pytest

from leyline.usage import MemorySink, default_path, open_sink
from leyline.usage.jsonl import JsonlSink
from leyline.usage.sqlite import SqliteSink


def test_a_name_stands_for_a_sink_and_opens_nothing(tmp_path: Path):
    assert isinstance(open_sink(tmp_path / "a" / "u.jsonl"), JsonlSink)
    assert isinstance(open_sink(str(tmp_path / "a" / "u.db")), SqliteSink)
    assert isinstance(open_sink(":memory:"), MemorySink)
    assert isinstance(open_sink(None), SqliteSink)
    assert list(tmp_path.iterdir()) == []


def test_a_sink_is_itself():
    sink = MemorySink()
    assert open_sink(sink) is sink


def test_the_default_is_in_the_users_state_folder(state_folder: Path):
    assert default_path() == state_folder / "leyline" / "usage.sqlite3"


@pytest.mark.parametrize("where", [1, object(), ["u.db"]])
def test_anything_else_is_a_mistake(where: object):
    with pytest.raises(TypeError, match="usage must be a path"):
        open_sink(where)
