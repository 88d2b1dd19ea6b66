"""How many tokens a text probably is, where the tool does not say."""

import math
from typing import Final

CHARACTERS_PER_TOKEN: Final = 4.2
"""Of plain text in the common tokenizers, on average."""


def estimate_tokens(text: str) -> int:
    """Tokens of *text*, rounded up; zero for no text."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
