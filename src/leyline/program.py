"""Find the program that a command names."""

import os
import shutil
import sysconfig
from pathlib import Path

from leyline.errors import CommandNotFoundError


def find_program(service: str, command: str, *, path: str | None = None) -> str:
    """The absolute path of *command*: a path, or a name on *path* (default: PATH).

    A name is looked for beside this Python last, where tools of the same virtual environment are
    although it is not activated.
    Raises CommandNotFoundError that says which of the usual mistakes it is.
    """
    found = shutil.which(command, path=path)
    if not found and os.sep not in command:
        found = shutil.which(command, path=sysconfig.get_path("scripts"))
    if found:
        return os.path.abspath(found)  # noqa: PTH100  (resolve() would follow links)
    raise CommandNotFoundError(service, _why_not(command))


def _why_not(command: str) -> str:
    if not command:
        return "no command is given; set `command` to the name or path of a program"
    if os.sep not in command:
        hint = (
            "; if these are a program and its arguments, put the arguments into command_template"
            if " " in command
            else "; install it, or set `command` to its path"
        )
        return f'command "{command}" was not found on PATH{hint}'
    target = Path(command)
    if target.is_dir():
        return f'command "{command}" is a directory; set `command` to the program in it'
    if target.exists():
        return f'command "{command}" is not executable; run: chmod +x {command}'
    return f'command "{command}" does not exist; set `command` to the path of a program'
