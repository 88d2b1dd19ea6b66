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


def test_agent():
    assert run("agent.py", "Hello").stdout.splitlines() == [
        "heard: Well, where shall I b",
        "cancelled: True",
        "sound: A line between places, said to have power.",
    ]


def test_batch():
    failed, *_, summary, small, medium, large = run("batch.py", "400").stdout.splitlines()
    assert failed.startswith("failed: Summarise document 13. ")
    minutes = float(summary.removeprefix("399 of 400 in ").removesuffix(" minutes:"))
    assert minutes < 4.5  # 400 at 96 a minute
    counts = {words[0]: int(words[1]) for words in map(str.split, (small, medium, large))}
    assert sum(counts.values()) == 399
    assert all(counts.values())
    assert all(line.endswith("refused 0") for line in (small, medium, large))


def test_every_example_is_run_here():
    tested = Path(__file__).read_text()
    assert all(f'"{path.name}"' in tested for path in EXAMPLES.glob("*.py"))
