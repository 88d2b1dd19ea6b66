"""No key leaves by way of what a tool prints."""

import itertools
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from leyline.redaction import REDACTED, Redactor, redact


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


def test_a_key_that_begins_with_another_goes_whole_from_pieces_too():
    keys = ["abcdefgh", "abcdefgh12345678"]
    redactor = Redactor(keys)
    assert redactor.feed("k abcdefgh") == "k "
    assert redactor.feed("12345678 x abcdefgh") == f"{REDACTED} x "
    assert redactor.feed("!") == f"{REDACTED}!"
    assert redactor.feed("abcdefgh") == ""
    assert redactor.finish() == REDACTED


def test_the_start_of_a_key_inside_another_key_is_not_told():
    redactor = Redactor(["abcdefgh", "ghijklmnop"])
    assert redactor.feed("abcdefgh") + redactor.feed("i") + redactor.finish() == f"{REDACTED}i"


def test_a_key_that_no_encoding_can_carry_breaks_nothing():
    key = "sk-loopback-\udcff\ud800"
    assert redact(f"<{key}>", [key]) == f"<{REDACTED}>"


@given(
    keys=st.lists(st.text(alphabet="ab", min_size=8, max_size=11), max_size=3),
    text=st.text(alphabet="abc", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_pieces_are_redacted_as_the_whole_is(keys: list[str], text: str, cuts: list[int]):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    redactor = Redactor(keys)
    told = "".join(redactor.feed(text[a:b]) for a, b in itertools.pairwise(places))
    assert told + redactor.finish() == redact(text, keys)
    assert not any(key in told for key in keys)


@given(
    before=st.text(alphabet="secr-tx ", max_size=12),
    after=st.text(alphabet="secr-tx ", max_size=12),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_a_text_that_comes_in_pieces_is_redacted_wherever_it_is_cut(before, after, cuts):
    secret = "secret-tx"
    text = f"{before}{secret}{after}"
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    redactor = Redactor([secret])
    told = [redactor.feed(text[a:b]) for a, b in itertools.pairwise(places)]
    assert "".join([*told, redactor.finish()]) == redact(text, [secret])


def test_only_what_may_be_a_secret_waits():
    redactor = Redactor(["sk-loopback-1"])
    assert redactor.feed("the key is sk-") == "the key is "
    assert redactor.feed("urf") == "sk-urf"
    assert redactor.feed("s") == ""
    assert redactor.finish() == "s"
    assert Redactor([]).feed("all of it") == "all of it"
