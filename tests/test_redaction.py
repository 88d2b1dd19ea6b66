"""No key leaves by way of what a tool prints."""

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from leyline.redaction import REDACTED, redact


def test_a_key_is_taken_out_wherever_it_stands():
    assert redact("key sk-123456789, again sk-123456789!", ["sk-123456789"]) == (
        f"key {REDACTED}, again {REDACTED}!"
    )


def test_a_key_that_contains_another_goes_whole():
    assert redact("x-secret-long", ["x-secret", "x-secret-long"]) == REDACTED


def test_words_too_short_to_be_keys_are_left():
    assert redact("none of the tests", ["none", "test", "", " "]) == "none of the tests"


@given(st.text(min_size=8).map(str.strip).filter(lambda s: len(s) >= 8 and s not in REDACTED))
def test_no_form_of_a_key_is_left(secret: str):
    forms = [secret, json.dumps(secret)[1:-1], quote(secret, safe="")]
    said = redact("".join(f"<{form}>" for form in forms), [f" {secret}\n"])
    assert said == f"<{REDACTED}>" * 3
