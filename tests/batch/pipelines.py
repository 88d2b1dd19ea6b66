"""A batch over services that are shell scripts, and what is to be seen of it from outside."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from attrs import define

from tests.cli.conftest import Machine

started: "list[subprocess.Popen[bytes]]" = []


@define
class Pipeline:
    """A batch of *count* rows on *machine*; every prompt that is run is a line of ``log``."""

    machine: Machine
    count: int

    @property
    def output(self) -> Path:
        return self.machine.folder / "out.jsonl"

    @property
    def log(self) -> Path:
        return self.machine.folder / "log"

    @property
    def ids(self) -> list[str]:
        return [f"r{k}" for k in range(self.count)]

    def prepare(self, script: str = 'read -r line; echo "$line" >>"$LOG"; echo "to $line"') -> None:
        self.log.touch()
        rows = (json.dumps({"id": key, "prompt": key, "n": k}) for k, key in enumerate(self.ids))
        (self.machine.folder / "in.jsonl").write_text("".join(f"{row}\n" for row in rows))
        tool = self.machine.tool("tool", f"LOG={self.log}\n{script}")
        self.machine.configure(
            f"services:\n  svc: {{command: {tool}, command_template: '{{command}}'}}\n"
        )

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        process = self.machine.start(
            "batch", "in.jsonl", "-o", "out.jsonl", *options,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    def finish(self, *options: str) -> "subprocess.CompletedProcess[str]":
        return self.machine.run("batch", "in.jsonl", "-o", "out.jsonl", *options)

    def interrupt(self, process: "subprocess.Popen[bytes]", sign: int = signal.SIGINT) -> None:
        os.kill(process.pid, sign)

    def runs(self) -> list[str]:
        """Every prompt that was run, in order."""
        return self.log.read_text().split()

    def results(self) -> list[dict[str, Any]]:
        """Every line of the output that is whole."""
        whole = self.output.read_bytes().rpartition(b"\n")[0] if self.output.exists() else b""
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for(self, lines: int, within: float = 60.0) -> None:
        until = time.monotonic() + within
        while len(self.results()) < lines:
            assert time.monotonic() < until
            time.sleep(0.01)

    def check_complete(self) -> None:
        """Exactly one line an input, and each the answer to its own."""
        results = self.results()
        assert sorted(r["id"] for r in results) == sorted(self.ids)
        assert self.output.read_bytes().count(b"\n") == self.count
        assert all(r["success"] and r["text"] == f"to {r['id']}" for r in results)
        assert all(r["input"]["n"] == int(r["id"][1:]) for r in results)
