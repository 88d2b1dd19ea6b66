"""How many tokens a text probably is, by what kind of text it is."""

import math
from pathlib import PurePath
from typing import Final

_PLAIN: Final = 4.2
_UNKNOWN: Final = 4.0
_CODE: Final = 3.2
_DATA: Final = 3.6

_TEXT_SUFFIXES: Final = frozenset({"", ".txt", ".md", ".rst", ".adoc", ".tex"})
_DATA_SUFFIXES: Final = frozenset({".json", ".jsonl", ".yaml", ".yml"})
_CODE_ENDINGS: Final = (
    "py pyi js mjs cjs ts tsx jsx java kt c h cc cpp hpp cs go rs rb php swift scala sh bash sql "
    "html css scss lua pl r m zig ex exs hs ml toml"
)
_CODE_SUFFIXES: Final = frozenset(f".{ending}" for ending in _CODE_ENDINGS.split())


def estimate_tokens(text: str, name: str = "") -> int:
    """Tokens of *text*, rounded up; zero for no text. name: Of the file it stands in, if any."""
    return tokens_of_length(len(text), name)


def tokens_of_length(characters: int, name: str = "") -> int:
    """Tokens of a text of so many characters, in a file of that *name*."""
    return math.ceil(characters / characters_per_token(name))


def characters_per_token(name: str) -> float:
    """Characters that make a token in the common tokenizers, on average, in a file of *name*."""
    suffix = PurePath(name).suffix.lower() if name else ""
    if suffix in _CODE_SUFFIXES:
        return _CODE
    if suffix in _DATA_SUFFIXES:
        return _DATA
    return _PLAIN if suffix in _TEXT_SUFFIXES else _UNKNOWN
