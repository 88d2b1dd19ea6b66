"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def test_one_call():
    completed = run("one_call.py", "The capital of France is")
    assert completed.stdout.strip()
    assert "tokens in" in completed.stderr


def test_fan_out():
    lines = run("fan_out.py", "Hello").stdout.splitlines()
    said = {line.split()[0]: line.split()[-1] for line in lines}
    assert said == {
        "upper": "HELLO",
        "backwards": "olleH",
        "broken": "(crashed)",
        "slow": "(timeout)",
    }


def test_every_example_is_run_here():
    tested = Path(__file__).read_text()
    assert all(f'"{path.name}"' in tested for path in EXAMPLES.glob("*.py"))
