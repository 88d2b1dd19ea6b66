"""A service whose runs are live processes that follow a script. ::

from leyline import ServiceRegistry
from leyline.testing import ScriptedTool

tool = ScriptedTool(folder=tmp_path, latency=0.2, failures=("overloaded",), pieces=4)
async with ServiceRegistry(":memory:") as registry:
    registry.register("tool", tool.config(quota_limits={"concurrent": 2}))
    result = await registry.execute("tool", "Hello")      # tried again after the overload
assert (result.text, result.attempts) == ("Hello", 2)
assert [run.prompt for run in tool.runs()] == ["Hello", "Hello"]
"""

import atexit
import json
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import ge

from leyline.config import (
    ErrorPattern,
    OutputConfig,
    OutputFormat,
    ServiceConfig,
    Stream,
    StreamConfig,
)
from leyline.model import FailureKind
from leyline.testing.scripted import RateLimit

_PROGRAM: Final = Path(__file__).with_name("tool.py")

_LONG: Final = 64 * 1024
"""Bytes past which a script goes into a file: a variable of the environment takes 128 KiB."""

_OUTPUT: Final = OutputConfig(
    format=OutputFormat.JSONL,
    text="join('', out[?piece].piece)",
    model="out[-1].model",
    error_message="out[-1].error.message",
    retry_after="out[-1].error.retry_after",
    input_tokens="out[-1].usage.input_tokens",
    output_tokens="out[-1].usage.output_tokens",
)

_PATTERNS: Final = tuple(
    ErrorPattern(kind=kind, match=f"^{kind}: ", where=(Stream.ERROR,)) for kind in FailureKind
)


@frozen(kw_only=True)
class ToolRun:
    """One process that ran. at: Unix time at which it had read its prompt.

    refused: Whether the tool's own rate limit refused it. grandchildren: Their process ids.
    """

    pid: int
    at: float
    prompt: str
    refused: bool
    grandchildren: tuple[int, ...]


def _kinds(given: tuple[str | None, ...]) -> tuple[FailureKind | None, ...]:
    return tuple(None if kind is None else FailureKind(kind) for kind in given)


@frozen(kw_only=True)
class ScriptedTool:
    """What a tool does. It answers in JSON lines and is not a model: it costs some milliseconds.

    latency: Seconds from the prompt to the end. pieces: In how many it writes its answer, spread
        over them. text: The answer; None: the prompt itself.
    input_tokens, output_tokens: As it reports them; None: by the length of prompt and answer.
    exit_code: Of a run that fails by nothing else. stderr: What it writes there.
    stdout: Written as it is, in place of an answer in JSON; then the service's ``output`` is text.
    failures: What its first runs come to, in the order in which they start, in whatever process;
        None is an answer. rate_limit: Its own, over all processes. Both need *folder*.
    ignores_sigterm: Whether it has to be killed.
    grandchildren: Processes that it starts, which keep its output open and live
        *grandchildren_live* seconds. grandchildren_detached: Each in a session of its own.
    folder: Where its runs are written down, for ``runs``; a long script stands there as well. None:
        nowhere; a long script is then kept in a temporary file until this process ends.
    """

    latency: float = field(default=0.0, validator=ge(0))
    text: str | None = None
    pieces: int = field(default=1, validator=ge(1))
    input_tokens: int | None = None
    output_tokens: int | None = None
    exit_code: int = 0
    stdout: str | None = None
    stderr: str = ""
    failures: tuple[FailureKind | None, ...] = field(default=(), converter=_kinds)
    rate_limit: RateLimit | None = None
    ignores_sigterm: bool = False
    grandchildren: int = field(default=0, validator=ge(0))
    grandchildren_live: float = 600.0
    grandchildren_detached: bool = False
    folder: Path | None = None

    def __attrs_post_init__(self) -> None:
        if self.folder is None and (self.failures or self.rate_limit is not None):
            raise ValueError("failures and rate_limit need a folder, where the runs are counted")

    def config(self, name: str = "tool", **fields: Any) -> ServiceConfig:
        """The service; *fields* are those of ``ServiceConfig``.

        Raises TypeError for others, and OSError where a script of more than 64 KiB cannot be
        written into its file.
        """
        own: dict[str, Any] = {
            "command": sys.executable,
            # As a file, without what a site adds: half the time that a module takes to start.
            "command_template": f"{{command}} -I -S '{_PROGRAM}' --model {{model}} {{files}}",
            "preset": "",
        }
        if self.stdout is None:
            own |= {
                "output": _OUTPUT,
                "stream": StreamConfig(text="piece"),
                "error_patterns": _PATTERNS,
            }
        own |= fields
        own["env"] = {**own.get("env", {}), "LEYLINE_SCRIPT": self._given()}
        return ServiceConfig(name, **own)

    def runs(self) -> list[ToolRun]:
        """Every run so far, in the order in which they began. Raises ValueError: no *folder*."""
        if self.folder is None:
            raise ValueError("only a tool with a folder writes its runs down")
        path = self.folder / "runs.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [_run(json.loads(line)) for line in lines]

    def _given(self) -> str:
        """The script, as the value of a variable; where it is long, the path of its file."""
        script = self._script()
        if len(script) > _LONG:
            return str(_kept(script, _temporary() if self.folder is None else self.folder))
        return script.replace("{tmpdir}", "\\u007btmpdir}")  # else it is filled in, as in any value

    def _script(self) -> str:
        limit = self.rate_limit
        script = {
            "latency": self.latency,
            "text": self.text,
            "pieces": self.pieces,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "exit_code": self.exit_code,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "failures": self.failures,
            "rate_limit": None if limit is None else (limit.runs, limit.per),
            "ignores_sigterm": self.ignores_sigterm,
            "grandchildren": self.grandchildren,
            "grandchildren_live": self.grandchildren_live,
            "grandchildren_detached": self.grandchildren_detached,
            "folder": None if self.folder is None else str(self.folder.resolve()),
        }
        return json.dumps({key: value for key, value in script.items() if value is not None})


def _kept(script: str, folder: Path) -> Path:
    """A new file that holds *script*."""
    with NamedTemporaryFile(
        "w", encoding="ascii", prefix="script-", suffix=".json", dir=folder.resolve(), delete=False
    ) as file:
        file.write(script)
    return Path(file.name)


@cache
def _temporary() -> Path:
    """A folder that is removed when this process ends, but not when one forked from it does."""
    folder, owner = Path(mkdtemp(prefix="leyline-scripts-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _run(line: dict[str, Any]) -> ToolRun:
    return ToolRun(
        pid=line["pid"],
        at=line["at"],
        prompt=line["prompt"],
        refused=line["refused"],
        grandchildren=tuple(line["grandchildren"]),
    )
