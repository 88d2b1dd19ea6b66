"""From plain data to typed values, strictly: nothing is coerced, every problem has its path."""

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final, cast, get_args, get_origin

from attrs import AttrsInstance, fields
from cattrs import (
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.gen import make_dict_structure_fn

from leyline.config import (
    ErrorPattern,
    FilesVia,
    OutputConfig,
    OutputFormat,
    ServiceConfig,
    Stream,
)
from leyline.model import FailureKind
from leyline.services.plain import is_mapping, shown

FIELDS: Final[Mapping[str, Any]] = {
    attribute.name: attribute.type
    for attribute in fields(ServiceConfig)
    if attribute.name != "unsaid"
}
"""What may be said of a service, by name, with its type."""


def structure_fields(given: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[str]]:
    """The fields of a ServiceConfig that *given* holds, typed, and every problem with its path.

    A field with a problem is left out.
    """
    structured: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in given.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in FIELDS:
            problems.append(unknown_key(where, key, FIELDS))
            continue
        try:
            structured[key] = _CONVERTER.structure(value, FIELDS[key])
        except Exception as error:  # what the hooks raise, in cattrs' groups
            problems.extend(_problems(error, where))
    return structured, problems


def unknown_key(where: str, key: object, known: Mapping[str, Any]) -> str:
    """The problem of a key that means nothing, with the closest one that does."""
    close = get_close_matches(str(key), known, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else f"; known: {', '.join(known)}"
    return f"{where}: unknown key{hint}"


def _problems(error: BaseException, where: str) -> Iterator[str]:
    if isinstance(error, ClassValidationError):
        of_fields, others = error.group_exceptions()
        for inner, note in of_fields:
            yield from _problems(inner, f"{where}.{note.name}")
        for inner in others:
            yield from _problems(inner, where)
    elif isinstance(error, IterableValidationError):
        of_items, others = error.group_exceptions()
        for inner, item in of_items:
            index: object = item.index  # a position in a list, a key in a mapping
            place = f"[{index}]" if isinstance(index, int) else f".{index}"
            yield from _problems(inner, f"{where}{place}")
        for inner in others:
            yield from _problems(inner, where)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = {attribute.name: None for attribute in fields(cast("Any", error.cl))}
        for key in sorted(error.extra_fields, key=str):
            yield unknown_key(f"{where}.{key}", key, known)
    elif isinstance(error, KeyError):
        yield f"{where}: is missing"
    else:
        yield f"{where}: {error}"


def _expected(what: str, value: Any) -> ValueError:
    return ValueError(f"expected {what}, got {shown(value)}")


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise _expected("text", value)
    return value


def _truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def _whole(value: Any, _: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _expected("a whole number", value)
    return value


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _expected("a number", value)
    return float(value)


def _word(value: Any, enum: Any) -> Enum:
    words = [str(member.value) for member in enum]
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"expected one of {', '.join(words)}; got {shown(value)}")
    return cast("Enum", enum(value))


def _list_of(kind: Any) -> Any:
    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise _expected("a list", value)
        return tuple(_CONVERTER.structure(list(cast("Any", value)), list[kind]))

    return structure


def _mapping_of(keys: Any, values: Any) -> Any:
    def structure(value: Any, _: Any) -> dict[Any, Any]:
        if not is_mapping(value):
            raise _expected("a mapping", value)
        plain = dict(value)
        if keys is int:  # TOML and JSON have only text for keys
            plain = {_digits(key): item for key, item in plain.items()}
        return _CONVERTER.structure(plain, dict[keys, values])

    return structure


def _digits(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() else key


def _instance_of(cls: type[AttrsInstance]) -> Any:
    from_mapping = make_dict_structure_fn(
        cls, _CONVERTER, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
    )

    def structure(value: Any, kind: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not is_mapping(value):
            raise _expected("a mapping", value)
        return from_mapping(value, kind)

    return structure


def _register() -> None:
    for scalar, hook in ((str, _text), (bool, _truth), (int, _whole), (float, _number)):
        _CONVERTER.register_structure_hook(scalar, hook)
    for enum in (FailureKind, FilesVia, OutputFormat, Stream):
        _CONVERTER.register_structure_hook(enum, _word)
    for cls in _NESTED:
        _CONVERTER.register_structure_hook(cls, _instance_of(cls))
    for kind in (*FIELDS.values(), *(a.type for cls in _NESTED for a in fields(cls))):
        if get_origin(kind) is tuple:
            _register_type(kind, _list_of(get_args(kind)[0]))
        elif get_origin(kind) is Mapping:
            _register_type(kind, _mapping_of(*get_args(kind)))


def _register_type(kind: Any, hook: Any) -> None:
    def is_it(candidate: Any) -> bool:
        return bool(candidate == kind)

    _CONVERTER.register_structure_hook_func(is_it, hook)


_NESTED: Final[tuple[type[AttrsInstance], ...]] = (OutputConfig, ErrorPattern)
_CONVERTER: Final = Converter(forbid_extra_keys=True, detailed_validation=True)
_register()
