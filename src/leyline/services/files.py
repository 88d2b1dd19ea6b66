"""Read a configuration file, or find out which one there is."""

import os
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final, cast

from leyline.errors import ConfigError
from leyline.plain import at, is_mapping, printable, shown

VARIABLE: Final = "LEYLINE_CONFIG"
_MERGING: Final = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")
_NAMES: Final = ("services.yaml", "services.yml", "services.toml")


def find_config_file() -> Path | None:
    """The file that is read where none is named; None if there is none.

    ``$LEYLINE_CONFIG``; then ``services.yaml`` (or ``.yml``, ``.toml``) here, in the user's
    configuration folder and in ``~/.claude/leyline``.
    Raises ConfigError if ``$LEYLINE_CONFIG`` names a file that does not exist.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(os.path.expanduser(named))  # noqa: PTH111  (never raises)  (raises where there is no home)
        if not os.path.exists(path):  # noqa: PTH110  (raises for a folder that is closed to us)
            raise ConfigError(
                (f"${VARIABLE}: file {named} does not exist; correct the variable or unset it",)
            )
        return path
    import platformdirs  # only where no file is named

    folders = (
        Path(),
        platformdirs.user_config_path("leyline", appauthor=False),
        Path(os.path.expanduser("~/.claude/leyline")),  # noqa: PTH111  (never raises)
    )
    candidates = (folder / name for folder in folders for name in _NAMES)
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113  (nor does it)


def read_config_file(path: Path) -> Any:
    """The document in a YAML or TOML file. Raises ConfigError that says what is wrong where."""
    source = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        raise ConfigError(("is a directory; name the file in it",), source) from None
    except FileNotFoundError:
        raise ConfigError(("does not exist; `leyline init` writes one",), source) from None
    except OSError as error:
        raise ConfigError((f"cannot be read: {error.strerror}",), source) from None
    except UnicodeDecodeError as error:
        problem = f"is not text (UTF-8): byte {error.object[error.start]:#04x} at {error.start}"
        raise ConfigError((problem,), source) from None
    except ValueError:  # a NUL character in it
        raise ConfigError((f"{shown(source)} cannot be the path of a file",)) from None
    if path.suffix.lower() == ".toml":
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # also for numbers without end
            raise ConfigError((f"is not TOML: {printable(str(error))}",), source) from None
    return _parse_yaml(text, source)


def _parse_yaml(text: str, source: str) -> Any:
    import yaml  # only where there is a file

    class Loader(yaml.SafeLoader):
        """Plain data only, no key twice in a mapping, and a place for every error."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.checked: set[yaml.MappingNode] = set()

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return cast("Any", super()).construct_object(node, deep)
            except (ValueError, LookupError, AttributeError, TypeError) as error:
                kind = node.tag.rpartition(":")[2]
                problem = f"cannot be read as {kind}: {error}"
                raise yaml.MarkedYAMLError(None, None, problem, node.start_mark) from None

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            if node not in self.checked:  # before its keys are mixed with those merged into it
                self.checked.add(node)
                self.check_keys(node)
            super().flatten_mapping(node)

        def check_keys(self, node: yaml.MappingNode) -> None:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                if key_node.tag in _MERGING:
                    continue
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, Hashable):
                    raise yaml.MarkedYAMLError(None, None, "cannot be a key", key_node.start_mark)
                if key in seen:
                    problem = f"{shown(key)} stands here for the second time"
                    raise yaml.MarkedYAMLError(None, None, problem, key_node.start_mark)
                seen.add(key)

    try:
        return yaml.load(text, Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError((f"{where}{printable(str(error.problem))}",), source) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = printable(" ".join(str(error).split()))
        raise ConfigError((f"is not YAML: {problem}",), source) from None


def services_of(document: Any, source: str) -> tuple[Any, list[str]]:
    """What stands under ``services:`` in *document*, and the problems of what stands beside it.

    Raises ConfigError where there is no such thing.
    """
    if document is None:
        raise ConfigError(("is empty; `leyline init` writes one to begin with",), source)
    if not is_mapping(document):
        raise ConfigError(("expected a mapping with the key `services`",), source)
    problems = [
        f"{at('', key)}: unknown key; known: services" for key in document if key != "services"
    ]
    if "services" not in document:
        problems.append("services: is missing")
        raise ConfigError(tuple(problems), source)
    services = document["services"]
    return {} if services is None else services, problems
