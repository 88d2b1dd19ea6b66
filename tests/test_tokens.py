"""Tokens are estimated by the kind of text."""

import pytest

from leyline.tokens import estimate_tokens, tokens_of_length


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("", 10),
        ("notes.txt", 10),
        ("README.md", 10),
        ("main.py", 14),
        ("Main.JAVA", 14),
        ("data.json", 12),
        ("values.yml", 12),
        ("picture.bin", 11),
    ],
)
def test_a_token_is_shorter_in_code_and_in_data_than_in_prose(name: str, tokens: int):
    assert estimate_tokens("x" * 42, name) == tokens
    assert tokens_of_length(42, name) == tokens


def test_no_text_is_no_token_and_any_text_is_one():
    assert (estimate_tokens(""), estimate_tokens("x")) == (0, 1)
