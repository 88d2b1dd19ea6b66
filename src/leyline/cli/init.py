"""``leyline init``: a configuration to begin with."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from leyline import services
from leyline.cli import output
from leyline.cli.exits import CommandLineError, ExitCode
from leyline.config import ServiceConfig
from leyline.errors import ConfigError

_HEAD: Final = """\
# The services that leyline asks. "leyline services" shows what it makes of this
# file, "leyline health" whether they can be used. What is not said here is
# known of each of these tools already.
#
# A tool of your own needs a command, and how to call it; without {prompt}, the
# prompt is its standard input:
#   mine:
#     command: /path/to/my-script
#     command_template: "{command} --model {model}"

services:
"""

_NOT_INSTALLED: Final = """
# Not installed here. Once one is, take the "# " before its lines away:
"""


def init(
    *,
    path: Annotated[Path, typer.Option(metavar="PATH", help="The file to write (YAML).")] = Path(
        "services.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> int:
    """Write a services.yaml of the tools that are installed."""
    target = _expanded(path)
    if target.suffix.lower() not in (".yaml", ".yml"):
        raise CommandLineError(f"cannot write {target}: it would be YAML; name it .yaml or .yml")
    if os.path.isdir(target):  # noqa: PTH112  (raises for names that are too long)
        raise CommandLineError(f"cannot write {target}: it is a directory")
    if os.path.lexists(target) and not force:
        raise CommandLineError(f"{target} exists already; overwrite it with --force")
    found = [tool.name for tool in services.discover()]
    missing = [name for name in services.preset_names() if name not in found]
    try:
        _replace(Path(os.path.realpath(target)), _document(found, missing))
    except OSError as error:
        raise CommandLineError(f"cannot write {target}: {error.strerror}") from None
    output.note(_summary(target, found, missing))
    output.write(str(target.absolute()))
    return ExitCode.OK


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise CommandLineError(
            f"cannot write {path}: there is no home folder {path.parts[0]}; name the folder itself"
        ) from None


def _document(found: Iterable[str], missing: Iterable[str]) -> str:
    known = services.from_mapping(dict.fromkeys(services.preset_names()), environ={})
    text = _HEAD + "\n".join(_entry(known[name]) + _settings(known[name]) for name in found)
    examples = "".join(_entry(known[name]) for name in missing)
    if examples:
        text += _NOT_INSTALLED + examples.replace("  ", "  # ", 1).replace("\n  ", "\n  # ")
    return text


def _entry(known: ServiceConfig) -> str:
    name, display_name = known.name, known.display_name
    title = f"  # {display_name}" if display_name not in ("", name) else ""
    return f"  {name}:{title}\n    command: {known.command}\n"


def _settings(known: ServiceConfig) -> str:
    """What is most often changed, as comments."""
    lines: list[str] = []
    if known.auth_env_var:
        lines.append(f"auth_env_var: {known.auth_env_var}  # the variable's name, not the key")
    if "{model}" in known.command_template:
        lines.append("default_model: name-of-a-model")
    lines.append(f"timeout_seconds: {known.timeout_seconds:g}")
    return "".join(f"    # {line}\n" for line in lines)


def _replace(target: Path, text: str) -> None:
    """Write *target* as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".leyline.{os.getpid()}")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            part.chmod(target.stat().st_mode)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _summary(target: Path, found: list[str], missing: list[str]) -> str:
    words = f"wrote {target} with {', '.join(found) or 'no service, as no tool was found'}"
    if missing:
        words += f"; as comments, because not installed: {', '.join(missing)}"
    if not _is_looked_for(target):
        words += f"\n  to use it: --config {target}, or set LEYLINE_CONFIG={target.absolute()}"
    return words


def _is_looked_for(target: Path) -> bool:
    """Whether it is the configuration that commands use where none is named."""
    try:
        file = services.find_config_file()
    except ConfigError:  # $LEYLINE_CONFIG names another one, which does not exist
        return False
    return file is not None and file.samefile(target)
