"""Take secrets out of what a tool wrote."""

import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"

_SHORTEST: Final = 8
"""Characters below which a value is taken for a placeholder ("none", "test"), not for a key:
replacing such a word wherever it stands would garble answers and protect nothing."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """*text* without *secrets*, plain or as they stand in JSON strings and in addresses."""
    for form in sorted(_forms(secrets), key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return text


def _forms(secrets: Iterable[str]) -> set[str]:
    forms: set[str] = set()
    for secret in secrets:
        plain = secret.strip()
        if len(plain) >= _SHORTEST:
            forms |= {plain, json.dumps(plain)[1:-1], quote(plain, safe="")}
    return forms
