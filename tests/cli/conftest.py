"""A new user's machine: an empty home, a PATH with a few programs, and the real program."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from attrs import frozen

_PROGRAMS = ("cat", "env", "head", "mv", "setsid", "sh", "sleep", "touch", "tr")
_SECONDS = 60.0


@frozen
class Machine:
    """Where the program under test lives.

    folder: The working directory. Beside it are ``home``, and ``bin`` and ``system``, which
        together are the PATH.
    """

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder.parent / "home"

    @property
    def bin(self) -> Path:
        return self.folder.parent / "bin"

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "PATH": f"{self.bin}:{self.folder.parent / 'system'}",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "TMPDIR": str(self.folder.parent),
            **more,
        }

    def tool(self, name: str, script: str) -> Path:
        """Put a shell script on PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        path.chmod(0o755)
        return path

    def configure(self, text: str, name: str = "services.yaml") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def services(self, **scripts: str) -> Path:
        """Configure services that are shell scripts; the prompt is their standard input."""
        text = "services:\n"
        for name, script in scripts.items():
            tool = self.tool(f"{name}-tool", script)
            text += f'  {name}: {{command: "{tool}", command_template: "{{command}}"}}\n'
        return self.configure(text)

    def start(self, *arguments: str, env: dict[str, str] | None = None, **options: object):
        return subprocess.Popen(
            [sys.executable, "-m", "leyline_main", *arguments],
            cwd=self.folder,
            env=self.environment(**env or {}),
            **options,
        )

    def run(
        self,
        *arguments: str,
        stdin: str | bytes = "",
        env: dict[str, str] | None = None,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with self.start(*arguments, env=env, stdin=subprocess.PIPE, **options) as process:
            stdout, stderr = process.communicate(data, timeout=_SECONDS)
        return subprocess.CompletedProcess(
            arguments, process.returncode, (stdout or b"").decode(), (stderr or b"").decode()
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("home", "bin", "system", "work"):
        (tmp_path / name).mkdir()
    for name in _PROGRAMS:
        path = shutil.which(name)
        assert path, name
        os.symlink(path, tmp_path / "system" / name)
    return Machine(tmp_path / "work")
