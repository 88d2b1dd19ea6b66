"""The folder of a run: there whenever it is needed, and nobody else's meanwhile."""

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from leyline.errors import SpawnError
from leyline.model import Command
from leyline.process import MARKER, Lifespan, Runner
from leyline.process.folders import Folders
from tests.process.conftest import Run

pytestmark = pytest.mark.anyio


async def run_in_folder(
    runner: Runner, script: str = "", *, service: str = "svc", reads: Sequence[str] = ()
) -> tuple[Path, str]:
    """Run *script* in a folder of its own: which, and what it wrote.

    reads: Names of files in it that are the run's outcome.
    """
    workspace = runner.workspace(service)
    env = {**os.environ, "TMPDIR": workspace.tmpdir, MARKER: workspace.marker}
    command = Command(
        argv=("/bin/sh", "-c", script),
        env=env,
        tmpdir=workspace.tmpdir,
        grace=0.05,
        read_files={name: f"{workspace.tmpdir}/{name}" for name in reads},
    )
    completed = await runner.run(service, workspace, command)
    return Path(workspace.tmpdir), completed.stdout.decode()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_temporary_folder_that_was_removed_is_made_again_and_private(
    lifespan: Lifespan, temporary: Path
):
    look = 'stat -c %a "$TMPDIR" "$TMPDIR/.."'
    first, _ = await run_in_folder(lifespan.runner, look)
    assert first.parent.parent == temporary
    shutil.rmtree(first.parent)
    for _ in range(2):
        folder, said = await run_in_folder(lifespan.runner, look)
        assert (folder.parent, said) == (first.parent, "700\n700\n")


async def test_one_folder_that_was_removed_is_made_again(temporary: Path):
    folders = Folders()
    path = Path(folders.name_one("svc"))
    for _ in range(2):
        folders.make(str(path))
        assert (path.parent.parent, mode(path)) == (temporary, 0o700)
        path.rmdir()


async def test_what_somebody_else_put_in_its_place_is_not_used(temporary: Path, tmp_path: Path):
    folders = Folders()
    first, second = Path(folders.name_one("svc")), Path(folders.name_one("svc"))
    folders.make(str(first))
    root, other = first.parent, tmp_path / "other"
    assert root.parent == temporary
    shutil.rmtree(root)
    (other / second.name).mkdir(parents=True)
    root.symlink_to(other)
    for path in (first, second):
        with pytest.raises(FileExistsError):
            folders.make(str(path))
    assert list(other.iterdir()) == [other / second.name]


async def test_where_no_folder_can_be_made_the_system_has_refused(run: Run, temporary: Path):
    temporary.rmdir()
    with pytest.raises(SpawnError, match=f"no temporary folder: .*{temporary}.*; set TMPDIR"):
        await run("/bin/true")
    temporary.mkdir()
    assert (await run("/bin/true")).exit_code == 0


async def test_where_no_temporary_folder_is_usable_the_message_names_the_one_that_is_set(
    run: Run, temporary: Path, monkeypatch: pytest.MonkeyPatch
):
    def find_none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", find_none)
    monkeypatch.setenv("TMPDIR", f"{temporary}/gone")
    with pytest.raises(SpawnError, match=f"no temporary folder: .*{temporary}/gone/leyline-"):
        await run("/bin/true")


@pytest.mark.parametrize(("service", "reads"), [("other", ()), ("svc", ("late",))])
async def test_a_folder_is_not_passed_on_while_a_descendant_may_use_it(
    lifespan: Lifespan, tmp_path: Path, service: str, reads: tuple[str, ...]
):
    """Not to another service, nor to one whose outcome is read out of it."""
    ready, gate = tmp_path / "ready", tmp_path / "gate"
    wait = "while ! test -e {}; do sleep 0.01; done"
    late = f"touch {ready}; {wait.format(gate)}; echo SECRET > $TMPDIR/late"
    runner = lifespan.runner
    leave = f"setsid sh -c '{late}' & {wait.format(ready)}"
    first, _ = await run_in_folder(runner, leave, reads=reads)
    look = f"touch {gate}; sleep 0.3; ls -A $TMPDIR"
    second, said = await run_in_folder(runner, look, service=service, reads=reads)
    assert (first == second, said) == (False, "")


async def test_an_empty_folder_is_used_again_at_once_by_its_service(lifespan: Lifespan):
    folders = {(await run_in_folder(lifespan.runner))[0] for _ in range(5)}
    assert len(folders) == 1


async def test_an_empty_folder_is_used_again_once_nothing_is_left_of_its_run(lifespan: Lifespan):
    used: set[Path] = set()
    with anyio.fail_after(20):
        while (folder := (await run_in_folder(lifespan.runner, reads=("a",)))[0]) not in used:
            used.add(folder)
            await anyio.sleep(0.1)


async def test_a_folder_rests_as_long_as_its_run_is_seen(temporary: Path):
    folders = Folders()
    gone, seen = folders.name_one("svc"), folders.name_one("svc")
    for run, path in (("r.1", gone), ("r.2", seen)):
        folders.make(path)
        folders.give_back(run, path)
    assert folders.name_one("svc") not in (gone, seen)
    folders.release({"r.2"})
    assert folders.name_one("svc") == gone
    assert folders.name_one("svc") != seen
    folders.release(set())
    assert folders.name_one("svc") == seen
    folders.remove_all()
    assert list(temporary.iterdir()) == []


async def test_a_folder_that_was_written_to_is_removed_and_not_used_again(temporary: Path):
    folders = Folders()
    before, after = Path(folders.name_one("svc")), Path(folders.name_one("svc"))
    for path in (before, after):
        folders.make(str(path))
    (before / "a").touch()
    for path in (before, after):
        folders.give_back(path.name, str(path))
    (after / "b").touch()
    assert not before.exists()
    folders.release(())
    assert not after.exists()
    assert folders.name_one("svc") not in (str(before), str(after))


async def test_a_link_that_a_tool_put_in_place_of_its_folder_is_not_used_again(
    temporary: Path, tmp_path: Path
):
    folders = Folders()
    path = Path(folders.name_one("svc"))
    folders.make(str(path))
    path.rmdir()
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    folders.give_back("r.1", str(path))
    folders.release(())
    assert folders.name_one("svc") != str(path)
    assert (tmp_path / "elsewhere").is_dir()
    folders.remove_all()
