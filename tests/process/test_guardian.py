"""Who belongs to a run."""

import os
import subprocess

import pytest

from leyline.process.guardian import MARKER, Process, scan, tree


def process(pid: int, parent: int, *runs: str, session: int = 0) -> Process:
    return Process(pid, parent, pid, session, runs)


def test_a_tree_holds_those_that_belong_and_their_descendants():
    processes = [
        process(10, 1, "r.1"),
        process(13, 12),
        process(12, 11),
        process(11, 10),
        process(20, 1, "r.2"),
        process(30, 1, "o.9", "r.1"),
        process(os.getpid(), 10, "r.1"),
    ]
    members = tree(processes, lambda p: "r.1" in p.runs)
    assert sorted(p.pid for p in members) == [10, 11, 12, 13, 30]


@pytest.mark.parametrize("name", ["plain", "od) S 1 (d"])
def test_a_marked_process_is_seen_whatever_it_is_called(tmp_path, name: str):
    program = tmp_path / name
    program.symlink_to("/bin/sleep")
    env = {"FIRST": "x", MARKER: "outer.1/inner.2", "LAST": "y" * 100_000}
    with subprocess.Popen([str(program), "600"], env=env, start_new_session=True) as child:
        try:
            while not (seen := next(p for p in scan() if p.pid == child.pid)).runs:
                pass  # for a moment after its start the system shows no environment
        finally:
            child.kill()
    assert seen == Process(child.pid, os.getpid(), child.pid, child.pid, ("outer.1", "inner.2"))
    assert child.pid not in [p.pid for p in scan()]
