"""From plain data to typed values, strictly: nothing is coerced, every problem has its path."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final, cast, get_args, get_origin

from attrs import Attribute, AttrsInstance, fields
from cattrs import (
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.gen import make_dict_structure_fn, override

from leyline.config import (
    ErrorPattern,
    FilesVia,
    OutputConfig,
    OutputFormat,
    ServiceConfig,
    Stream,
    StreamConfig,
)
from leyline.model import FailureKind
from leyline.plain import at, is_mapping, is_number, shown, suggestion
from leyline.policies import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, RetryPolicy

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
        where = at(path, key)
        if key not in FIELDS:
            problems.append(_unknown_key(where, key, FIELDS))
            continue
        try:
            structured[key] = _CONVERTER.structure(value, FIELDS[key])
        except Exception as error:  # what the hooks raise, in cattrs' groups
            found = _problems(error, where)
            if key == "env":  # a value may be a secret
                found = (problem.partition(", got ")[0] for problem in found)
            problems.extend(found)
    return structured, problems


def _unknown_key(where: str, key: object, known: Mapping[str, Any]) -> str:
    """The problem of a key that means nothing, with the closest one that does."""
    return f"{where}: unknown key; {suggestion(key, known)}"


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
            place = f"{where}[{shown(index)}]" if isinstance(index, int) else at(where, index)
            yield from _problems(inner, place)
        for inner in others:
            yield from _problems(inner, where)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = {attribute.name: None for attribute in fields(cast("Any", error.cl))}
        for key in sorted(error.extra_fields, key=str):
            yield _unknown_key(at(where, key), key, known)
    elif isinstance(error, KeyError):
        yield f"{where}: is missing"
    else:
        yield f"{where}: {error}"


def _expected(what: str, value: Any) -> ValueError:
    return ValueError(f"expected {what}, got {shown(value)}")


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise _expected("text", value)
    if _UNUSABLE.search(value):
        raise _expected("text that a program can be given", value)
    return value


def _truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def _whole(value: Any, _: Any) -> int:
    if not is_number(value) or not isinstance(value, int):
        raise _expected("a whole number", value)
    return value


def _number(value: Any, _: Any) -> float:
    if not is_number(value):
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
        plain = _numbered(value) if keys is int else dict(value)
        for key in plain:
            if isinstance(key, int) and not isinstance(key, bool) and not is_number(key):
                raise _expected("keys that can be written out", key)
        return _CONVERTER.structure(plain, dict[keys, values])

    return structure


def _numbered(given: Mapping[Any, Any]) -> dict[Any, Any]:
    """*given* with keys that are digits as numbers: TOML and JSON have only text for keys."""
    numbered: dict[Any, Any] = {}
    for key, value in given.items():
        number = int(key) if isinstance(key, str) and _DIGITS.fullmatch(key) else key
        if number in numbered:
            raise ValueError(f"{number} stands there for the second time")
        numbered[number] = value
    return numbered


def _valid(attribute: "Attribute[Any]") -> Any:
    """As its type says, and as its own class checks it: so that the problem has its path."""

    def structure(value: Any, kind: Any) -> Any:
        typed = _CONVERTER.structure(value, kind)
        try:
            cast("Any", attribute.validator)(None, attribute, typed)
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{attribute.name}: ")) from None
        return typed

    return structure


def _instance_of(cls: type[AttrsInstance]) -> Any:
    checked = {a.name: override(struct_hook=_valid(a)) for a in fields(cls) if a.validator}
    from_mapping = make_dict_structure_fn(
        cls,
        _CONVERTER,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **cast("Any", checked),
    )

    def structure(value: Any, kind: Any) -> Any:
        if isinstance(value, cls):  # built in code, where nothing was checked
            value = {a.name: getattr(value, a.name) for a in fields(cls)}
        if not is_mapping(value):
            raise _expected("a mapping", value)
        return from_mapping(value, kind)

    return structure


def _register() -> None:
    for scalar, hook in ((str, _text), (bool, _truth), (int, _whole), (float, _number)):
        _CONVERTER.register_structure_hook(scalar, hook)
    for enum in (FailureKind, FilesVia, OutputFormat, Stream):
        _CONVERTER.register_structure_hook(enum, _word)
    for kind in (*FIELDS.values(), *(a.type for cls in _NESTED for a in fields(cls))):
        if get_origin(kind) is tuple:
            _register_type(kind, _list_of(get_args(kind)[0]))
        elif get_origin(kind) is Mapping:
            _register_type(kind, _mapping_of(*get_args(kind)))
    for cls in _NESTED:  # last: it looks up the hooks of its fields now
        _CONVERTER.register_structure_hook(cls, _instance_of(cls))


def _register_type(kind: Any, hook: Any) -> None:
    def is_it(candidate: Any) -> bool:
        return bool(candidate == kind)

    _CONVERTER.register_structure_hook_func(is_it, hook)


_DIGITS: Final = re.compile(r"-?[0-9]{1,9}")
_UNUSABLE: Final = re.compile("[\0\ud800-\udfff]")
_NESTED: Final[tuple[type[AttrsInstance], ...]] = (
    OutputConfig,
    ErrorPattern,
    StreamConfig,
    RetryPolicy,
    BudgetPolicy,
    BreakerPolicy,
    ConcurrencyPolicy,
)
_CONVERTER: Final = Converter(forbid_extra_keys=True, detailed_validation=True)
_register()
