"""A SQLite file of ours: who waits for whom, whose error it is, and forks in the midst of it."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leyline.database import DatabaseFile, Schema, open_for_reading
from leyline.errors import UsageStoreError

SCHEMA = Schema(
    application=0x7465_7374,
    migrations=(("CREATE TABLE numbers (n INTEGER NOT NULL UNIQUE)",),),
    fail=UsageStoreError,
)


@pytest.fixture
def file(tmp_path: Path) -> DatabaseFile:
    return DatabaseFile(tmp_path / "numbers.db", SCHEMA, patience=0.05)


def add(file: DatabaseFile, number: int | None) -> None:
    with file.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (?)", (number,))


def numbers(file: DatabaseFile) -> list[int]:
    with file.snapshot() as db:
        return [number for (number,) in db.execute("SELECT n FROM numbers ORDER BY n")]


def test_a_snapshot_waits_for_no_writer_and_stays_what_it_was(file: DatabaseFile):
    add(file, 1)
    other = DatabaseFile(file.path, SCHEMA)
    with other.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (2)")
        assert numbers(file) == [1]
    with file.snapshot() as db:
        add(other, 3)
        assert db.execute("SELECT count(*) FROM numbers").fetchone() == (2,)
    assert numbers(file) == [1, 2, 3]
    other.close()
    file.close()


def test_who_cannot_have_the_file_is_told_for_how_long_it_waited(file: DatabaseFile):
    add(file, 1)
    with (
        DatabaseFile(file.path, SCHEMA).transaction(),
        pytest.raises(UsageStoreError, match=r"did not let go for 0\.05 s; see which"),
    ):
        add(file, 2)
    add(file, 2)
    assert numbers(file) == [1, 2]


def test_the_file_is_there_for_who_waits_as_soon_as_others_let_go(file: DatabaseFile):
    add(file, 1)
    patient = DatabaseFile(file.path, SCHEMA, patience=60.0)
    waiting = threading.Thread(target=add, args=(patient, 2))
    with file.transaction():
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(30.0)
    assert numbers(file) == [1, 2]


@pytest.mark.parametrize("number", [None, 1])
def test_an_error_of_a_value_stays_one_and_nothing_of_its_block_is_written(
    file: DatabaseFile, number: int | None
):
    add(file, 1)
    with pytest.raises(sqlite3.IntegrityError), file.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (2)")
        db.execute("INSERT INTO numbers VALUES (?)", (number,))
    assert numbers(file) == [1]


def test_an_error_that_the_block_has_with_another_file_is_not_this_ones(file: DatabaseFile):
    add(file, 1)
    with pytest.raises(FileNotFoundError), file.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (2)")
        (file.path.parent / "absent").read_text()
    assert numbers(file) == [1]


def test_a_file_that_cannot_be_used_costs_no_descriptors(tmp_path: Path):
    (tmp_path / "text").write_bytes(b"no database" * 100)
    with sqlite3.connect(tmp_path / "foreign") as db:
        db.execute("CREATE TABLE numbers (x)")
    db.close()
    before = len(os.listdir("/proc/self/fd"))
    for name in ("text", "foreign", "text/below", "."):
        for _ in range(5):
            with pytest.raises(UsageStoreError):
                add(DatabaseFile(tmp_path / name, SCHEMA), 1)
            with pytest.raises(UsageStoreError):
                open_for_reading(tmp_path / name, SCHEMA)
    assert len(os.listdir("/proc/self/fd")) == before


# Files that are removed or replaced while they are in use


def remove(path: Path, *endings: str) -> None:
    for ending in ("", *endings):
        Path(f"{path}{ending}").unlink()


@pytest.mark.parametrize("endings", [("-wal", "-shm"), ()])
def test_a_file_that_was_removed_is_made_anew(file: DatabaseFile, endings: tuple[str, ...]):
    add(file, 1)
    remove(file.path, *endings)
    assert numbers(file) == []
    add(file, 2)
    assert numbers(DatabaseFile(file.path, SCHEMA)) == [2]


def test_all_who_had_a_file_that_was_removed_have_the_same_new_one(file: DatabaseFile):
    others = [DatabaseFile(file.path, SCHEMA) for _ in range(3)]
    for number, other in enumerate([file, *others]):
        add(other, number)
    remove(file.path, "-wal", "-shm")
    for number, other in enumerate([*others, file]):
        add(other, 10 + number)
    for other in [file, *others]:
        assert numbers(other) == [10, 11, 12, 13]


def test_a_file_that_was_put_in_the_place_of_another_is_used(file: DatabaseFile, tmp_path: Path):
    add(file, 1)
    spare = DatabaseFile(tmp_path / "spare.db", SCHEMA)
    add(spare, 2)
    spare.close()
    remove(file.path, "-wal", "-shm")
    spare.path.rename(file.path)
    add(file, 3)
    assert numbers(file) == [2, 3]


def test_a_folder_that_was_removed_is_made_anew(tmp_path: Path):
    file = DatabaseFile(tmp_path / "state" / "numbers.db", SCHEMA)
    add(file, 1)
    shutil.rmtree(tmp_path / "state")
    add(file, 2)
    assert numbers(file) == [2]


def test_what_is_irreplaceable_never_begins_anew(tmp_path: Path):
    file = DatabaseFile(tmp_path / "numbers.db", SCHEMA, irreplaceable=True)
    add(file, 1)
    file.close()
    file.path.rename(tmp_path / "away")
    for _ in range(2):  # also when it was closed after the first error
        with pytest.raises(UsageStoreError, match="removed or replaced while it was in use"):
            add(file, 2)
        assert not file.path.exists()
    other = DatabaseFile(file.path, SCHEMA)
    add(other, 3)
    other.close()
    with pytest.raises(UsageStoreError, match="removed or replaced"):
        numbers(file)
    remove(file.path)
    (tmp_path / "away").rename(file.path)  # it was put back
    add(file, 4)
    assert numbers(file) == [1, 4]


# Forks


def open_ones() -> list[str]:
    """The databases that this process has open."""
    paths: list[str] = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            paths.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in paths if ".db" in path]


FORKING = """
import os, sys, threading
from pathlib import Path
from leyline.database import DatabaseFile
from tests.test_database import SCHEMA, add, numbers, open_ones

sys.setswitchinterval(1e-6)  # threads meet everywhere
folder = Path(sys.argv[1])
files = [DatabaseFile(folder / f"{number}.db", SCHEMA) for number in range(3)]
over = threading.Event()


def child(number):
    assert not open_ones()
    for file in files:
        add(file, number)


def fork(first):
    for number in range(first, first + 25):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(number)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0


def write(first):
    number = first
    while not over.is_set():
        add(files[number % 3], number)
        number += 1


threads = [threading.Thread(target=write, args=(n * 10**6,)) for n in (1, 2)]
forking = [threading.Thread(target=fork, args=(n * 1000,)) for n in range(3)]
for thread in threads + forking:
    thread.start()
for thread in forking:
    thread.join()
over.set()
for thread in threads:
    thread.join()
expected = [n * 1000 + i for n in range(3) for i in range(25)]
for file in files:
    assert [n for n in numbers(file) if n < 10**6] == expected
print("whole")
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(folder)]
    root = Path(__file__).parents[1]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100, cwd=root)


def test_threads_may_fork_at_once_while_others_write(tmp_path: Path):
    forked = run(FORKING, tmp_path)
    assert (forked.stdout, forked.stderr) == ("whole\n", "")


LATE = """
import os, sys, threading, time
from pathlib import Path
from leyline.database import DatabaseFile
from tests.test_database import SCHEMA, add, open_ones

folder = Path(sys.argv[1])
held, late = [DatabaseFile(folder / f"{name}.db", SCHEMA) for name in ("held", "late")]
del late


def fork():
    pid = os.fork()
    if pid == 0:
        os.write(1, b"open" if open_ones() else b"closed")
        os._exit(0)
    os.waitpid(pid, 0)


forking = threading.Thread(target=fork)
with held.transaction():
    forking.start()
    time.sleep(0.2)  # it waits for the transaction now
    late = DatabaseFile(folder / "late.db", SCHEMA)
    add(late, 1)
forking.join()
"""


def test_a_file_that_is_opened_while_a_fork_waits_is_closed_too(tmp_path: Path):
    forked = run(LATE, tmp_path)
    assert (forked.stdout, forked.stderr) == ("closed", "")
