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


class Redactor:
    """Takes secrets out of a text that comes in pieces, wherever it is cut."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = sorted(_forms(secrets), key=len, reverse=True)
        self._held = ""

    def feed(self, text: str) -> str:
        """What of the text so far can be told; what may be the start of a secret waits."""
        text = self._held + text
        for form in self._forms:
            text = text.replace(form, REDACTED)
        waiting = max((_overlap(text, form) for form in self._forms), default=0)
        told, self._held = text[: len(text) - waiting], text[len(text) - waiting :]
        return told

    def finish(self) -> str:
        """What has waited: no more comes."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, form: str) -> int:
    """How many characters of *form*, short of all of them, *text* ends with."""
    longest = min(len(text), len(form) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(form[:size])), 0)


def _forms(secrets: Iterable[str]) -> set[str]:
    forms: set[str] = set()
    for secret in secrets:
        plain = secret.strip()
        if len(plain) >= _SHORTEST:
            forms |= {plain, json.dumps(plain)[1:-1], quote(plain, safe="")}
    return forms
