"""The fixtures for pytest: there for who asks, and nothing at all for who does not."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import leyline

SOURCE = Path(leyline.__file__).parents[1]
PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"

OWN_PROJECT = """
import os
from pathlib import Path

import anyio
import pytest
from leyline import ServiceRegistry
from leyline.testing import ScriptedService


class TestVirtual:
    @pytest.fixture
    def anyio_backend(self, leyline_virtual_backend):
        return leyline_virtual_backend

    @pytest.mark.anyio
    async def test_hours_pass_at_once(self, leyline_registry, leyline_clock):
        ScriptedService("slow", latency=7200.0, timeout_seconds=None).register(leyline_registry)
        began = leyline_clock.monotonic()
        assert (await leyline_registry.execute("slow", "Hello")).text == "Hello"
        assert leyline_clock.monotonic() - began == 7200


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_in_real_time(leyline_registry, leyline_clock):
    ScriptedService("quick", latency=0.01).register(leyline_registry)
    assert 0.01 <= (await leyline_registry.execute("quick", "Hello")).duration < 30


def test_the_users_state_is_left_alone(leyline_state):
    assert Path(os.environ["XDG_STATE_HOME"]) == leyline_state
"""

SOMEBODY_ELSES = """
import os
import sys


def test_nothing_is_different(request):
    assert not [name for name in sys.modules if name.split(".")[0] == "leyline"]
    assert not [name for name in request.fixturenames if "leyline" in name]
    assert not [name for name in os.environ if "leyline" in name.lower()]
    plugin = request.config.pluginmanager.get_plugin("leyline_pytest")
    assert not [name for name in vars(plugin) if name.startswith("pytest_")]
    fixtures = [name for name in vars(plugin) if not name.startswith(("_", "@"))]
    own = {"AsyncGenerator", "Path", "TYPE_CHECKING", "Any", "pytest"}
    assert [name for name in {*fixtures} - own if not name.startswith("leyline_")] == []
"""


def run(folder: Path, tests: str) -> str:
    """Run *tests*, the only file of a project in *folder*, with the plugin, warnings as errors."""
    (folder / "test_own.py").write_text(tests)
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "LEYLINE"))}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "leyline_pytest"]
    done = subprocess.run(
        [*command, "--strict-markers", "--tb=short"],
        cwd=folder,
        env=plain | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_tests_its_pipeline_with_them(tmp_path: Path):
    assert "3 passed" in run(tmp_path, OWN_PROJECT)


def test_what_the_readme_shows_passes(tmp_path: Path):
    section = README.read_text().partition("## Testing your own pipelines\n")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    assert "1 passed" in run(tmp_path, example)


def test_who_asks_for_none_of_them_sees_nothing_of_it(tmp_path: Path):
    assert "1 passed" in run(tmp_path, SOMEBODY_ELSES)


def test_pytest_finds_it_where_leyline_is_installed():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"leyline_pytest": "leyline_pytest"}
