"""What the README shows runs as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leyline import FilesVia, OutputFormat
from leyline.services import load

README = Path(__file__).parents[1].joinpath("README.md").read_text()


STREAMED = (
    {"type": "message", "role": "assistant", "content": "it "},
    {"type": "message", "role": "assistant", "content": "works"},
    {"type": "result", "status": "success", "stats": {}},
)


def block(language: str, section: str = "") -> str:
    """The first block of code in *language* after the heading *section*; of all, the first."""
    text = README.partition(f"## {section}\n")[2] if section else README
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def run(program: str, folder: Path) -> str:
    """What *program* says where ``gemini`` and ``review.sh`` are there, as configured above."""
    for name, answer in (("gemini", "response"), ("review.sh", "answer")):
        tool = folder / name
        said = json.dumps({answer: "it works", "stats": {"models": {}}})
        lines = "\n".join(json.dumps(line) for line in STREAMED)
        script = f"case $* in *stream-json*) echo '{lines}' ;; *) echo '{said}' ;; esac"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    (folder / "src").mkdir()
    (folder / "src" / "main.py").write_text("x = 1\n")
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    return subprocess.check_output(
        [sys.executable, "-c", program], cwd=folder, env=environment, text=True
    )


def test_the_program_runs(tmp_path: Path):
    assert re.fullmatch(r"it works \d+\n", run(block("python"), tmp_path))


def test_the_program_that_asks_several_services_runs(tmp_path: Path):
    (tmp_path / "services.yaml").write_text(block("yaml"))
    assert run(block("python", "Failing well"), tmp_path).splitlines() == [
        "failover: gemini",
        "race: gemini",
        "parallel: {'gemini': True, 'reviewer': True}",
        "select: gemini",
        "explain: gemini True ",
        "explain: reviewer False it is not one of those asked for (services)",
    ]


def test_the_program_that_streams_runs(tmp_path: Path):
    (tmp_path / "services.yaml").write_text(block("yaml"))
    assert run(block("python", "As it is written"), tmp_path).split() == ["it", "works", "True"]


def test_the_program_with_many_prompts_runs(tmp_path: Path):
    (tmp_path / "services.yaml").write_text(block("yaml"))
    assert run(block("python", "Many prompts"), tmp_path) == "0 it works\n"


def test_the_program_that_listens_runs(tmp_path: Path):
    (tmp_path / "services.yaml").write_text(block("yaml"))
    said = run(block("python", "Events"), tmp_path).split()
    assert said[::2] == [
        "CallStarted", "AttemptStarted", "HealthChanged", "AttemptFinished", "CallFinished",
    ]  # fmt: skip
    assert set(said[1::2]) == {"gemini"}


@pytest.mark.parametrize("section", ["Quotas", "Failing well"])
def test_what_a_service_may_say_of_itself_loads(tmp_path: Path, section: str):
    file = tmp_path / "services.yaml"
    file.write_text(f"services:\n  svc:\n    command: cat\n{block('yaml', section)}")
    service = load(file)["svc"]
    if section == "Failing well":
        assert (service.concurrency.most, service.breaker.opening) == (32, 10)
        assert service.idempotent is False


def test_the_configuration_loads(tmp_path: Path):
    file = tmp_path / "services.yaml"
    file.write_text(block("yaml"))
    services = load(file)
    assert list(services) == ["gemini", "reviewer"]
    assert services["gemini"].files_via is FilesVia.INLINE
    assert services["reviewer"].output.format is OutputFormat.JSON
