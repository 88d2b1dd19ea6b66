"""What a row asks: its prompt, or a template over its columns, and whom it wants to ask."""

import json
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any, Final, cast

from attrs import frozen

from leyline.batch.source import Record

_OF_LISTS: Final = ";"
"""What stands between several values in one cell of a table."""


@frozen(kw_only=True)
class Row:
    """One prompt of a batch.

    id: As given, else the number of its line. line: Where it begins. columns: All that was given.
    services: Which may answer, in order. None: those of the batch. model: None: that of the batch.
    """

    id: str | int | float
    line: int
    columns: Mapping[str, Any]
    prompt: str
    files: tuple[str, ...] = ()
    services: tuple[str, ...] | None = None
    model: str | None = None

    @property
    def key(self) -> str:
        """The id as text: under it the row is known from one run to the next."""
        return str(self.id)

    @property
    def is_particular(self) -> bool:
        """Whether it asks for what others do not: that it finds no service says nothing of them."""
        return bool(self.services or self.files or self.model)


class RowError(ValueError):
    """A row cannot be asked as it stands."""


@frozen(kw_only=True)
class Recipe:
    """How rows become prompts.

    parts: A template, cut up: text and the name of the column after it, or None. None: the column
        ``prompt``.
    """

    parts: tuple[tuple[str, str | None], ...] | None = None

    @classmethod
    def of(cls, template: str | None) -> "Recipe":
        """*template* such as ``"Summarise: {text}"``; ``{{`` is a brace. Raises ValueError."""
        if template is None:
            return cls()
        parts: list[tuple[str, str | None]] = []
        for text, name, form, conversion in Formatter().parse(template):
            if form or conversion:
                raise ValueError(f'"{{{name}}}" takes no "!" or ":"; write {{{{ for a brace')
            if name is not None and not name.strip():
                raise ValueError("a placeholder has no name; write {column}, and {{ for a brace")
            parts.append((text, name))
        if not any(name for _, name in parts):
            raise ValueError("it names no column, so all prompts would be the same; write {column}")
        return cls(parts=tuple(parts))

    def row(self, record: Record) -> Row:
        """What *record* asks. Raises RowError with what is wrong with it."""
        columns = record.columns
        prompt = self._prompt(columns)
        if not prompt.strip():
            raise RowError("the prompt is empty")
        if "\0" in prompt:
            raise RowError("the prompt holds a NUL character, which no tool can be given")
        if not _is_text(prompt):
            raise RowError("the prompt holds half of a character (a lone surrogate)")
        services = _names(columns, "service")
        model = columns.get("model") or None
        if model is not None and not isinstance(model, str):
            raise RowError(f'"model" must be text, got {_shown(model)}')
        return Row(
            id=_id(columns, record.line),
            line=record.line,
            columns=columns,
            prompt=prompt,
            files=_names(columns, "files"),
            services=services or None,
            model=model,
        )

    def _prompt(self, columns: Mapping[str, Any]) -> str:
        if self.parts is not None:
            return "".join(self._filled(columns))
        if "prompt" not in columns:
            known = ", ".join(map(str, columns)) or "none"
            raise RowError(f'there is no column "prompt" (there are: {known}); or give --template')
        prompt = columns["prompt"]
        if not isinstance(prompt, str):
            raise RowError(f'"prompt" must be text, got {_shown(prompt)}')
        return prompt

    def _filled(self, columns: Mapping[str, Any]) -> Iterator[str]:
        for text, name in self.parts or ():
            yield text
            if name is None:
                continue
            value = columns.get(name)
            if value is None:
                raise RowError(f'there is no column "{name}", which the template asks for')
            yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _id(columns: Mapping[str, Any], line: int) -> str | int | float:
    given = columns.get("id")
    if given is None or given == "":
        return line
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise RowError(f'"id" must be text or a number, got {_shown(given)}')
    if isinstance(given, str) and not _is_text(given):
        raise RowError('"id" holds half of a character (a lone surrogate)')
    return given


def _names(columns: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """A name, several in a list, or several in one cell with semicolons between them."""
    given = columns.get(column)
    if given is None:
        return ()
    if isinstance(given, str):
        given = given.split(_OF_LISTS)
    names = cast("list[str]", given) if isinstance(given, list) else None
    if names is None or not all(map(_is_string, names)):
        raise RowError(f'"{column}" must be text or a list of it, got {_shown(given)}')
    return tuple(name.strip() for name in names if name.strip())


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_text(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value) if not value.isascii() else True


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]
