"""``leyline init``: a configuration that loads, and that nobody loses."""

import os
import stat
from pathlib import Path

import pytest

from leyline.services import load, preset_names
from tests.cli.conftest import Machine


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.tool("leyline-local", "cat")
    machine.tool("gemini", "cat")
    return machine


def uncomment(path: Path) -> None:
    """Do what the file says: take the ``# `` before the lines of the examples away."""
    head, marker, examples = path.read_text().partition("# Not installed here.")
    note, *lines = examples.splitlines()
    assert all(line.startswith("  # ") for line in lines)
    path.write_text("\n".join([head + marker + note, *(x.replace("# ", "", 1) for x in lines)]))


def test_what_it_wrote_loads_again_with_the_tools_that_were_found(installed: Machine):
    done = installed.run("init")
    path = installed.folder / "services.yaml"
    assert (done.returncode, done.stdout) == (0, f"{path}\n")
    assert done.stderr.startswith("leyline: wrote ")
    rows = [line.split("\t")[0] for line in installed.run("services").stdout.splitlines()]
    assert rows[1:] == list(load(path))
    assert {"gemini", "local"} <= set(rows) < {*preset_names(), "name"}


def test_tools_that_were_not_found_are_examples_that_load_when_uncommented(installed: Machine):
    path = installed.folder / "services.yaml"
    installed.run("init")
    uncomment(path)
    assert set(load(path)) == set(preset_names())


def test_no_secret_is_written(installed: Machine):
    installed.run("init", env={"GEMINI_API_KEY": "very-secret"})
    text = (installed.folder / "services.yaml").read_text()
    assert "GEMINI_API_KEY" in text
    assert "very-secret" not in text


def test_an_existing_file_is_kept_unless_forced(installed: Machine):
    path = installed.configure("services: {}  # mine\n")
    done = installed.run("init")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--force" in done.stderr
    assert done.stderr.count("\n") == 1
    assert path.read_text() == "services: {}  # mine\n"
    path.chmod(0o640)
    assert installed.run("init", "--force").returncode == 0
    assert {"gemini", "local"} <= set(load(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_force_writes_through_a_link(installed: Machine):
    target = installed.folder / "target.yaml"
    target.write_text("services: {}\n")
    link = installed.folder / "services.yaml"
    os.symlink(target, link)
    assert installed.run("init").returncode == 2
    assert installed.run("init", "--force").returncode == 0
    assert link.is_symlink()
    assert {"gemini", "local"} <= set(load(target))


def test_nothing_is_left_beside_the_file(installed: Machine):
    installed.run("init", "--path", "new/folder/my.yml")
    assert os.listdir(installed.folder) == ["new"]
    assert os.listdir(installed.folder / "new" / "folder") == ["my.yml"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("services.toml", "name it .yaml or .yml"),
        (".", "name it .yaml or .yml"),
        ("folder.yaml", "is a directory"),
        ("plain/services.yaml", "cannot write"),
        ("/proc/services.yaml", "cannot write"),
        (f"{'n' * 300}.yaml", "File name too long"),
        ("~nosuchuser/services.yaml", "there is no home folder ~nosuchuser"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_message(installed: Machine, path, message):
    (installed.folder / "plain").write_text("")
    (installed.folder / "folder.yaml").mkdir()
    done = installed.run("init", "--force", "--path", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_may_be_as_long_as_names_can_be(installed: Machine):
    name = f"{'n' * 250}.yaml"
    assert installed.run("init", "--path", name).returncode == 0
    assert os.listdir(installed.folder) == [name]


@pytest.mark.parametrize(
    ("path", "config", "told"),
    [
        ("services.yaml", "", False),
        ("other.yaml", "", True),
        ("../home/.config/leyline/services.yaml", "", False),
        ("other.yaml", "other.yaml", False),
        ("services.yaml", "gone.yaml", True),
    ],
)
def test_a_file_that_is_not_looked_for_is_told_how_to_use(installed: Machine, path, config, told):
    done = installed.run("init", "--path", path, env={"LEYLINE_CONFIG": config})
    assert done.returncode == 0
    assert ("--config" in done.stderr) == told
