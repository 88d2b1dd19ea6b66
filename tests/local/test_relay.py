"""How long an answer may be is decided here, whatever a request asks for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.local.relay import CAPPED, cap_answer

STANDARD = {path: fields[0] for path, fields in CAPPED.items()}
FIELDS = sorted({field for fields in CAPPED.values() for field in fields})


@pytest.mark.parametrize(("path", "field"), STANDARD.items())
def test_a_request_that_names_no_number_gets_the_cap(path: str, field: str):
    capped = json.loads(cap_answer(b'{"stream": true}', path, 7))
    assert capped == {"stream": True, field: 7}


def test_a_smaller_number_is_kept():
    body = b'{"max_tokens": 3}'
    assert json.loads(cap_answer(body, "/v1/messages", 7)) == {"max_tokens": 3}


@pytest.mark.parametrize("asked", [8, 32_000, 0, -1, None, True, "many", 1e9, {}])
def test_everything_else_is_lowered_to_the_cap(asked: object):
    body = json.dumps({"max_output_tokens": asked}).encode()
    capped = json.loads(cap_answer(body, "/v1/responses", 7))["max_output_tokens"]
    assert capped == (1 if asked is True else 7)


@given(
    path=st.sampled_from(sorted(CAPPED)),
    request=st.dictionaries(st.sampled_from(FIELDS), st.none() | st.integers() | st.floats()),
)
def test_no_field_that_llama_cpp_reads_is_above_the_cap(path: str, request: dict[str, object]):
    capped = json.loads(cap_answer(json.dumps(request).encode(), path, 7))
    assert capped[STANDARD[path]] in range(8)
    assert all(capped[field] in range(1, 8) for field in CAPPED[path] if field in capped)


@given(body=st.binary() | st.sampled_from([b"[1]", b"null", b'"x"', b"3"]))
def test_what_is_no_object_is_left_as_it_is(body: bytes):
    try:
        is_object = isinstance(json.loads(body), dict)
    except ValueError:
        is_object = False
    if not is_object:
        assert cap_answer(body, "/v1/messages", 7) == body
