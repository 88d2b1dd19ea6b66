"""What can be known of a row before anything is run: its services, models and files."""

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches

from leyline.batch import Row
from leyline.batch.settings import Settings
from leyline.config import ServiceConfig


def row_checks(
    services: Mapping[str, ServiceConfig], settings: Settings
) -> Callable[[Row], Iterator[str]]:
    """Says what is wrong with a row. Looks at each file and each combination only once."""
    files: dict[str, bool] = {}
    asked: dict[tuple[tuple[str, ...], str | None, bool], str] = {}

    def check(row: Row) -> Iterator[str]:
        for name in row.files:
            if name not in files:
                files[name] = os.path.isfile(name)  # noqa: PTH113  (the method raises for a name too long)
            if not files[name]:
                yield f'the file "{name}" does not exist'
        names = row.services or settings.services or tuple(services)
        key = names, row.model or settings.model, bool(row.files)
        if key not in asked:
            asked[key] = _problem(services, *key)
        if asked[key]:
            yield asked[key]

    return check


def _problem(
    services: Mapping[str, ServiceConfig], names: tuple[str, ...], model: str | None, files: bool
) -> str:
    for name in names:
        if name not in services:
            close = get_close_matches(name, services, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"known: {', '.join(services)}"
            return f'there is no service "{name}"; {hint}'
    chosen = [services[name] for name in names]
    if model is not None and all(s.models and model not in s.models for s in chosen):
        return f'none of its services has a model "{model}" ({", ".join(names)})'
    if files and not any(s.supports_files for s in chosen):
        return f"none of its services takes files ({', '.join(names)})"
    return ""
