"""What cannot be started says why, and leaves nothing behind."""

import os
import resource
from pathlib import Path

import pytest

from leyline.errors import CommandNotFoundError, SpawnError
from leyline.process import child_environment
from leyline.program import find_program
from tests.process.conftest import Run

pytestmark = pytest.mark.anyio


def test_a_program_is_found_on_path_and_by_path(tmp_path: Path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert find_program("svc", "tool", path=str(tmp_path)) == str(tool)
    assert find_program("svc", str(tool), path="") == str(tool)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-tool", 'svc: command "no-such-tool" was not found on PATH; install it'),
        ("tool --flag", "put the arguments into command_template"),
        ("", "no command is given"),
        ("{tmp}/missing", "does not exist"),
        ("{tmp}", "is a directory"),
        ("{tmp}/plain", "is not executable; run: chmod \\+x"),
    ],
)
def test_what_is_not_a_program_says_which_mistake_it_is(tmp_path: Path, command: str, message: str):
    (tmp_path / "plain").write_text("text")
    with pytest.raises(CommandNotFoundError, match=message):
        find_program("svc", command.replace("{tmp}", str(tmp_path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("echo no first line", "is not a program; if it is a script"),
        ("#!/no/such/interpreter\n", "needs an interpreter that does not exist"),
    ],
)
async def test_scripts_that_cannot_run_say_why(
    run: Run, tmp_path: Path, content: str, message: str
):
    script = tmp_path / "script"
    script.write_text(content)
    script.chmod(0o755)
    with pytest.raises(CommandNotFoundError, match=message):
        await run(str(script))


async def test_a_missing_working_directory_says_so(run: Run, tmp_path: Path):
    with pytest.raises(SpawnError, match="cannot work in"):
        await run("/bin/true", cwd=str(tmp_path / "gone"))


async def test_too_many_open_files_is_the_systems_refusal_and_leaks_nothing(run: Run):
    await run("/bin/true")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 1, hard))
    try:
        with pytest.raises(SpawnError, match="too many open files"):
            await run("/bin/cat", stdin=b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before
    assert (await run("/bin/true")).exit_code == 0


async def test_arguments_too_long_together_are_the_systems_refusal(run: Run):
    with pytest.raises(SpawnError, match="too long for the system"):
        await run("/bin/true", *["x" * 100_000] * 100)


def test_the_environment_of_a_child_is_made_on_purpose():
    child = child_environment(
        {"HOME": "/h", "OTHER_KEY": "secret", "TMPDIR": "/tmp"},
        hidden={"OTHER_KEY"},
        tmpdir="/run/1",
        values={"TOOL_HOME": "{tmpdir}/home"},
    )
    assert child == {
        "HOME": "/h", "NO_COLOR": "1", "TMPDIR": "/run/1", "TOOL_HOME": "/run/1/home",
    }  # fmt: skip
