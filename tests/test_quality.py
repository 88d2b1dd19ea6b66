"""What is checked without running it: lint, format, types; and that importing stays light."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "checker",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("pyright", "--pythonpath", sys.executable),
    ],
    ids=lambda checker: " ".join(checker[:2]),
)
def test_the_checkers_find_nothing(checker: tuple[str, ...]):
    command = [sys.executable, "-m", *checker]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_importing_leyline_loads_nothing_heavy():
    heavy = ["typer", "rich", "cattrs", "yaml", "jmespath", "platformdirs", "xllamacpp", "redis"]
    program = f"import sys, leyline; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert loaded == "[]\n"


def test_the_types_are_shipped():
    import leyline

    assert Path(leyline.__file__).with_name("py.typed").exists()
