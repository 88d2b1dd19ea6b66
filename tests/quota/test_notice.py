"""Who waits is seen by others, as long as it waits and lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leyline.quota.notice import Notice
from tests.processes import open_descriptors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "svc.waiting"


def test_nothing_is_made_by_looking(path: Path):
    assert not Notice(path).is_posted_elsewhere()
    assert not path.exists()


def test_others_see_it_from_post_to_withdraw_and_who_posts_does_not_count(path: Path):
    mine, other = Notice(path), Notice(path)
    mine.post()
    assert other.is_posted_elsewhere()
    assert not mine.is_posted_elsewhere()
    mine.post()
    assert other.is_posted_elsewhere()
    mine.withdraw()
    mine.withdraw()
    assert not other.is_posted_elsewhere()
    assert path.stat().st_mode & 0o777 == 0o600


def test_looking_takes_nothing_from_anybody(path: Path):
    mine, other, third = Notice(path), Notice(path), Notice(path)
    mine.post()
    other.post()
    for _ in range(3):
        assert mine.is_posted_elsewhere()
        assert other.is_posted_elsewhere()
        assert third.is_posted_elsewhere()
    mine.withdraw()
    assert third.is_posted_elsewhere()
    assert not other.is_posted_elsewhere()
    assert third.is_posted_elsewhere()
    other.withdraw()
    assert not third.is_posted_elsewhere()


def test_nothing_stays_open(path: Path):
    before = open_descriptors()
    mine, other = Notice(path), Notice(path)
    mine.post()
    other.is_posted_elsewhere()
    mine.is_posted_elsewhere()
    mine.withdraw()
    assert open_descriptors() == before


def test_it_ends_with_its_process_and_a_child_does_not_keep_it(path: Path):
    program = f"""
import subprocess, sys
from pathlib import Path
from leyline.quota.notice import Notice
notice = Notice(Path({str(path)!r}))
notice.post()
child = subprocess.Popen(["/bin/sleep", "600"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        assert Notice(path).is_posted_elsewhere()
        process.kill()
        process.wait()
        assert not Notice(path).is_posted_elsewhere()
        os.kill(child, 9)


def test_a_fork_does_not_keep_what_was_withdrawn(path: Path):
    notice = Notice(path)
    notice.post()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    notice.withdraw()
    assert not Notice(path).is_posted_elsewhere()
    os.write(writing, b"x")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
