"""Take secrets out of what a tool wrote."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"

_SHORTEST: Final = 8
"""Characters below which a value is taken for a placeholder ("none", "test"), not for a key:
replacing such a word wherever it stands would garble answers and protect nothing."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """*text* without *secrets*, plain or as they stand in JSON strings and in addresses."""
    told, _ = _tell(text, _forms(secrets), ())
    return told


class Redactor:
    """Takes secrets out of a text that comes in pieces, wherever it is cut."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = _forms(secrets)
        self._longest = max(map(len, self._forms), default=1)
        self._held = ""

    def feed(self, text: str) -> str:
        """What of the text so far can be told; what may be the start of a secret waits."""
        text = self._held + text
        told, self._held = _tell(text, self._forms, self._starts(text))
        return told

    def finish(self) -> str:
        """What has waited: no more comes."""
        told, _ = _tell(self._held, self._forms, ())
        self._held = ""
        return told

    def _starts(self, text: str) -> list[int]:
        """Where in *text* a secret may have begun that goes on after its end."""
        size = len(text)
        near = range(max(0, size - self._longest + 1), size)
        return [
            at
            for at in near
            if any(size - at < len(form) and form.startswith(text[at:]) for form in self._forms)
        ]


def _tell(text: str, forms: Sequence[str], starts: Sequence[int]) -> tuple[str, str]:
    """*text* redacted, up to the first of *starts* that is in no secret; and the rest of it."""
    told: list[str] = []
    end, waits = 0, next(iter(starts), len(text))
    for at, stop in _found(text, forms):
        if at >= waits:
            break
        told += (text[end:at], REDACTED)
        end, waits = stop, next((start for start in starts if start >= stop), len(text))
    return "".join([*told, text[end:waits]]), text[waits:]


def _found(text: str, forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end: from the left, and of several at one place the longest."""
    places = {form: text.find(form) for form in forms}
    while places := {form: at for form, at in places.items() if at >= 0}:
        form = min(places, key=places.__getitem__)  # the first of the least; they are sorted
        at, end = places[form], places[form] + len(form)
        yield at, end
        places = {form: at if at >= end else text.find(form, end) for form, at in places.items()}


def _forms(secrets: Iterable[str]) -> list[str]:
    """What *secrets* look like, the longest first."""
    forms: set[str] = set()
    for secret in secrets:
        plain = secret.strip()
        if len(plain) >= _SHORTEST:
            forms |= {plain, json.dumps(plain)[1:-1], quote(plain, safe="", errors="replace")}
    return sorted(forms, key=len, reverse=True)
