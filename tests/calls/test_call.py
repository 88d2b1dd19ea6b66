"""What a caller asks has the right types from the start, so that it fails where it is written."""

import math
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from leyline import Call
from leyline.config import UNSAID


def test_lists_may_be_of_any_kind_and_files_of_any_path():
    call = Call(prompt="x", files=[Path("a.py"), "b.py"], services=["a", "b"])
    assert (call.files, call.services) == (("a.py", "b.py"), ("a", "b"))
    assert evolve(call, deadline=1.0).files == ("a.py", "b.py")


@pytest.mark.parametrize("seconds", [1, 0.5, math.inf, None, UNSAID])
def test_seconds_are_numbers_or_none(seconds: Any):
    Call(prompt="x", timeout=seconds, deadline=seconds)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": None}, "prompt must be a str, got a NoneType"),
        ({"prompt": b"x"}, "prompt must be a str, got a bytes"),
        ({"model": 5}, "model must be a str, got a int"),
        ({"timeout": "5"}, "timeout must be seconds, or None for no limit; got '5'"),
        ({"deadline": True}, "deadline must be seconds, or None for no limit; got True"),
        ({"files": "a.py"}, r"files must be a list, got 'a.py'; write files=\['a.py'\]"),
        ({"files": Path("a.py")}, r"write files=\['a.py'\]"),
        ({"files": [5]}, "int"),
        ({"services": "zz"}, r"write services=\['zz'\]"),
    ],
)
def test_a_wrong_type_is_refused_when_the_call_is_made(fields: dict[str, Any], words: str):
    with pytest.raises(TypeError, match=words):
        Call(**{"prompt": "x", **fields})
