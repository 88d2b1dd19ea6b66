"""Read a configuration file, or find out which one there is."""

import os
import tomllib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from leyline.errors import ConfigError
from leyline.services.plain import is_mapping

VARIABLE: Final = "LEYLINE_CONFIG"
_NONE: Final[Mapping[Any, Any]] = {}
_NAMES: Final = ("services.yaml", "services.yml", "services.toml")


def find_config_file() -> Path | None:
    """The file that is read where none is named; None if there is none.

    ``$LEYLINE_CONFIG``; then ``services.yaml`` (or ``.yml``, ``.toml``) here, in the user's
    configuration folder and in ``~/.claude/leyline``.
    Raises ConfigError if ``$LEYLINE_CONFIG`` names a file that does not exist.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.exists():
            raise ConfigError(
                (f"${VARIABLE}: file {named} does not exist; correct the variable or unset it",)
            )
        return path
    import platformdirs  # noqa: PLC0415  (only where no file is named)

    folders = (
        Path(),
        platformdirs.user_config_path("leyline", appauthor=False),
        Path("~/.claude/leyline").expanduser(),
    )
    candidates = (folder / name for folder in folders for name in _NAMES)
    return next((path for path in candidates if path.is_file()), None)


def read_config_file(path: Path) -> Any:
    """The document in a YAML or TOML file. Raises ConfigError that says what is wrong where."""
    source = str(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except IsADirectoryError:
        raise ConfigError(("is a directory; name the file in it",), source) from None
    except FileNotFoundError:
        raise ConfigError(("does not exist; `leyline init` writes one",), source) from None
    except OSError as error:
        raise ConfigError((f"cannot be read: {error.strerror}",), source) from None
    except UnicodeDecodeError as error:
        problem = f"is not text (UTF-8): byte {error.object[error.start]:#04x} at {error.start}"
        raise ConfigError((problem,), source) from None
    if path.suffix.lower() == ".toml":
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError((f"is not TOML: {error}",), source) from None
    return _parse_yaml(text, source)


def _parse_yaml(text: str, source: str) -> Any:
    import yaml  # noqa: PLC0415  (only where there is a file)

    class Loader(yaml.SafeLoader):
        """Plain data only, and no key twice in a mapping."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
        loader.flatten_mapping(node)
        construct = cast("Any", loader).construct_object
        seen: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = construct(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(None, None, "cannot be a key", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    None, None, f'"{key}" stands here for the second time', key_node.start_mark
                )
            seen[key] = construct(value_node, deep=True)
        return seen

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError((f"{where}{error.problem}",), source) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split()) or "is nested too deep"
        raise ConfigError((f"is not YAML: {problem}",), source) from None


def services_of(document: Any, source: str) -> Mapping[Any, Any]:
    """What stands under ``services:`` in *document*. Raises ConfigError for any other shape."""
    if document is None:
        raise ConfigError(("is empty; `leyline init` writes one to begin with",), source)
    if not is_mapping(document):
        raise ConfigError(("expected a mapping with the key `services`",), source)
    problems = [f"{key}: unknown key; known: services" for key in document if key != "services"]
    if "services" not in document:
        problems.append("services: is missing")
    services = document.get("services") or _NONE
    if not is_mapping(services):
        problems.append("services: expected a mapping from names to services")
    if problems:
        raise ConfigError(tuple(problems), source)
    return services
