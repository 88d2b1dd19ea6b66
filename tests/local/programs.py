"""Run the real program as a process of its own."""

import json
import subprocess
import sys
from typing import Any

COMMAND = (sys.executable, "-m", "leyline.local")
SECONDS = 60.0
"""How long one short answer may take on a busy machine."""


def answer(*arguments: str, prompt: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], input=prompt, capture_output=True, timeout=SECONDS, check=False
    )


def document(*arguments: str, prompt: bytes = b"", status: int = 0) -> dict[str, Any]:
    """The one JSON document that the program wrote; it must have ended with *status*."""
    done = answer(*arguments, prompt=prompt)
    assert done.returncode == status, done
    assert done.stdout.endswith(b"\n")
    return json.loads(done.stdout)


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The program, where *module* is not installed."""
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'leyline-local'\n"
        "from leyline.local import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
