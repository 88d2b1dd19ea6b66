"""What the README shows runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from leyline import FilesVia, OutputFormat
from leyline.services import load

README = Path(__file__).parents[1].joinpath("README.md").read_text()


def block(language: str) -> str:
    """The first block of code in *language*."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_program_runs(tmp_path: Path):
    tool = tmp_path / "gemini"
    tool.write_text("""#!/bin/sh\necho '{"response": "it works", "stats": {"models": {}}}'\n""")
    tool.chmod(0o755)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("x = 1\n")
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.check_output(
        [sys.executable, "-c", block("python")], cwd=tmp_path, env=environment, text=True
    )
    assert re.fullmatch(r"it works \d+\n", said)


def test_the_configuration_loads(tmp_path: Path):
    file = tmp_path / "services.yaml"
    file.write_text(block("yaml"))
    services = load(file)
    assert list(services) == ["gemini", "reviewer"]
    assert services["gemini"].files_via is FilesVia.INLINE
    assert services["reviewer"].output.format is OutputFormat.JSON
