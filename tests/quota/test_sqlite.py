"""The ledger in a file: several processes, forks, reboots, broken files, cancellation."""

import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from leyline.clock import Clock
from leyline.database import DatabaseFile, Schema
from leyline.errors import LedgerError
from leyline.limits import Weight, named_limit
from leyline.quota import Booked, Refused, accounts_file
from leyline.quota.sqlite import SqliteLedger
from leyline.testing.ledgers import LedgerConformance, OpenLedger
from leyline.testing.ledgers.samples import LATE, MINUTE, ONE, TOKENS, book, new_id, taken


class TestSqliteLedger(LedgerConformance):
    @pytest.fixture
    def open_ledger(self, tmp_path: Path) -> OpenLedger:
        return lambda clock: SqliteLedger(tmp_path / "quotas.db", clock=clock)


pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quotas.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(path)
    yield ledger
    await ledger.aclose()


async def failure(path: Path) -> LedgerError:
    """How using the file fails; a booking and a look alike."""
    ledger = SqliteLedger(path)
    with pytest.raises(LedgerError) as looked:
        await ledger.status("svc", [MINUTE])
    with pytest.raises(LedgerError) as booked:
        await ledger.book("svc", "b", [MINUTE], ONE, max_delay=0.0)
    await ledger.aclose()
    assert booked.value.args == looked.value.args
    assert booked.value.store == str(path)
    assert str(pickle.loads(pickle.dumps(booked.value))) == str(booked.value)
    return booked.value


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "leyline" in thread.name]


def boot(name: str, *, now: float, wall: float) -> dict[str, object]:
    return {"boot": name, "clock": Clock(monotonic=lambda: now, wall=lambda: wall)}


def newer(statement: str) -> Schema:
    """One version more than there is."""
    one_more = ("CREATE TABLE more (x)", statement)
    return evolve(accounts_file.SCHEMA, migrations=(*accounts_file.MIGRATIONS, one_more))


# The file


async def test_the_folder_and_the_file_are_made_for_their_owner_alone(tmp_path: Path):
    path = tmp_path / "state" / "leyline" / "quotas.db"
    ledger = SqliteLedger(path)
    assert not path.parent.exists()  # nothing before it is used
    await book(ledger, "svc", MINUTE)
    modes = [stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()]
    assert len(modes) == 3
    assert set(modes) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await ledger.aclose()


async def test_nothing_but_the_file_is_left_when_it_is_closed(ledger: SqliteLedger, path: Path):
    await book(ledger, "svc", MINUTE)
    assert len(threads()) == 1
    await ledger.aclose()
    assert threads() == []
    assert list(path.parent.iterdir()) == [path]


async def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = SqliteLedger("quotas.db")
    monkeypatch.chdir("/")
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    assert (tmp_path / "quotas.db").exists()


async def test_an_empty_file_is_a_new_one(ledger: SqliteLedger, path: Path):
    path.touch()
    await book(ledger, "svc", MINUTE)


async def test_an_older_file_is_brought_up_to_date_with_all_it_holds(path: Path, monkeypatch):
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    monkeypatch.setattr(accounts_file, "SCHEMA", newer("INSERT INTO more VALUES (1)"))
    for ledger in (SqliteLedger(path), SqliteLedger(path)):
        assert await taken(ledger, "svc", MINUTE) == (1,)
        await ledger.aclose()
    with sqlite3.connect(path) as db:
        newest = len(accounts_file.MIGRATIONS) + 1
        assert db.execute("PRAGMA user_version").fetchone() == (newest,)
        assert db.execute("SELECT x FROM more").fetchall() == [(1,)]
    db.close()


async def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch):
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    with monkeypatch.context() as patch:
        patch.setattr(accounts_file, "SCHEMA", newer("INSERT INTO absent VALUES (1)"))
        await failure(path)
    ledger = SqliteLedger(path)
    assert await taken(ledger, "svc", MINUTE) == (1,)
    await ledger.aclose()


# Files that cannot be used: said clearly, and left as they are


async def test_a_file_of_a_newer_version_is_left_alone(path: Path):
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 1000")
    db.close()
    before = path.read_bytes()
    assert "a newer leyline wrote it; update" in (await failure(path)).reason
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
async def test_the_database_of_another_program_is_left_alone(path: Path, version: int):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE accounts (name, balance)")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    before = path.read_bytes()
    assert "another program" in (await failure(path)).reason
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"x", b"y" * 511, b"y" * 512, b"services:\n  gemini: {}\n" * 1000, bytes(4096)],
    ids=len,
)
async def test_what_is_not_a_database_is_left_alone(path: Path, content: bytes):
    path.write_bytes(content)
    error = await failure(path)
    assert "not a SQLite database" in error.reason
    assert "name another file, or move this one away" in error.reason
    assert path.read_bytes() == content


async def test_a_damaged_file_is_left_alone(path: Path):
    ledger = SqliteLedger(path)
    for number in range(100):
        await book(ledger, f"svc{number}", MINUTE, TOKENS)
    await ledger.aclose()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)  # all but the table of contents
    path.write_bytes(content)
    assert "damaged" in (await failure(path)).reason
    assert path.read_bytes() == content


async def test_a_damaged_state_is_no_unused_quota(path: Path):
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    for state in ("", "{", "[]", "null", "{}", '{"logs": 5}'):
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("UPDATE accounts SET state = ?", (state,))
        assert 'the state of "svc" is damaged' in (await failure(path)).reason
        assert db.execute("SELECT state FROM accounts").fetchall() == [(state,)]
        db.close()


async def test_a_file_that_has_lost_its_time_is_damaged(path: Path):
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM clock")
    db.close()
    assert "the time of its last change is damaged" in (await failure(path)).reason


async def test_a_table_that_takes_no_value_of_ours_says_so(path: Path):
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    db = sqlite3.connect(path)
    db.execute("CREATE TRIGGER no BEFORE INSERT ON accounts BEGIN SELECT RAISE(ABORT, 'no'); END")
    db.close()
    with pytest.raises(LedgerError, match="not as it should be; it was left as it is"):
        await ledger.book("svc", "b", [MINUTE], ONE, max_delay=0.0)
    assert await taken(ledger, "svc", MINUTE) == (1,)
    await ledger.aclose()


async def test_a_folder_is_no_file(tmp_path: Path):
    assert (await failure(tmp_path)).reason == "it is a folder; name a file"


async def test_a_path_through_a_file_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    await failure(tmp_path / "file" / "quotas.db")
    assert (tmp_path / "file").read_text() == "mine"


PROGRAM = """
import os, sys, tempfile
import anyio
from leyline.errors import LedgerError
from leyline.limits import Weight, named_limit
from leyline.quota.sqlite import SqliteLedger

async def main(path=sys.argv[1], bookings=int(sys.argv[2])):
    ledger = SqliteLedger(path)
    limits = [named_limit("rpm", 1000), named_limit("tpm", 10**9)]
    for number in range(bookings):
        try:
            await ledger.book(f"svc{number}", "b", limits, Weight(), max_delay=0.0)
        except LedgerError as error:
            print(error)
            return
    await ledger.aclose()

with tempfile.TemporaryDirectory() as folder:
    anyio.run(main, folder + "/warm.db", 1)  # everything is loaded while it can be read
"""
AS_NOBODY = "if os.geteuid() == 0:\n    os.setuid(65534)\n"


def says(setup: str, path: Path, bookings: int) -> str:
    """What a program prints that books in the file, under what *setup* takes from it."""
    program = f"{PROGRAM}{setup}anyio.run(main)\n"
    argv = [sys.executable, "-c", program, str(path), str(bookings)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def readable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that everybody may enter, as root itself may write everywhere."""
    folder = Path(tmp_path_factory.mktemp("readable"))
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    return folder


async def test_a_folder_that_cannot_be_written_says_so(readable: Path):
    readable.chmod(0o555)
    said = says(AS_NOBODY, readable / "quotas.db", 1)
    assert said.startswith(f"quotas in {readable}/quotas.db: it cannot be opened for writing; ")
    assert list(readable.iterdir()) == []


async def test_a_file_that_cannot_be_written_says_so(readable: Path):
    path = readable / "quotas.db"
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()
    path.chmod(0o444)
    readable.chmod(0o555)
    before = path.read_bytes()
    assert "it cannot be opened for writing; see to its rights" in says(AS_NOBODY, path, 1)
    assert path.read_bytes() == before


async def test_a_file_that_others_never_let_go_of_says_so(path: Path, monkeypatch):
    impatient = partial(DatabaseFile, patience=0.05)
    monkeypatch.setattr(accounts_file, "DatabaseFile", impatient)
    ledger = SqliteLedger(path)
    await book(ledger, "svc", MINUTE)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(
        LedgerError, match=r"other processes hold it, and did not let go for 0\.05 s"
    ):
        await ledger.book("svc", "b", [MINUTE], ONE, max_delay=0.0)
    assert await taken(ledger, "svc", MINUTE) == (1,)  # looking waits for no writer
    db.close()
    await book(ledger, "svc", MINUTE)
    await ledger.aclose()


# Time


async def test_the_clock_is_read_inside_the_transaction(path: Path):
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    held = threading.Event()
    ledger = SqliteLedger(path, clock=Clock(monotonic=lambda: 5.0 if held.is_set() else 100.0))
    await book(ledger, "svc", MINUTE)
    db.execute("BEGIN IMMEDIATE")
    held.set()
    read: list[float] = []

    def monotonic() -> float:
        read.append(time.monotonic())
        return 100.0

    late = SqliteLedger(path, clock=Clock(monotonic=monotonic))
    async with anyio.create_task_group() as group:
        group.start_soon(partial(late.book, "svc", "b", [MINUTE], ONE, max_delay=0.0))
        await anyio.sleep(0.1)
        assert read == []
        db.execute("COMMIT")
    assert len(read) == 1
    db.close()
    await late.aclose()
    await ledger.aclose()


async def test_now_never_goes_back(path: Path):
    for now in (1000.0, 10.0):
        ledger = SqliteLedger(path, **boot("a", now=now, wall=5e8))
        await book(ledger, "svc", MINUTE, weight=Weight(requests=10))
        await ledger.aclose()
    ledger = SqliteLedger(path, **boot("a", now=1059.0, wall=5e8))
    assert await taken(ledger, "svc", MINUTE) == (20,)
    await ledger.aclose()


@pytest.mark.parametrize("name", ["b", ""])
@pytest.mark.parametrize(
    ("now", "wall", "left"),
    [
        (5.0, 5e8 + 20.0, 20),  # off for 20 seconds
        (5.0, 5e8 + 55.0, 20),
        (5.0, 5e8 + 65.0, 0),
        (5.0, 5e8 - 3600.0, 20),  # the wall clock went back an hour: nothing has passed
    ],
)
async def test_after_a_reboot_old_starts_count_as_long_as_they_would_have(
    path: Path, name: str, now: float, wall: float, left: int
):
    ledger = SqliteLedger(path, **boot(name and "a", now=90_000.0, wall=5e8))
    for account in ("svc", "other"):
        await book(ledger, account, MINUTE, weight=Weight(requests=20))
    await ledger.aclose()
    ledger = SqliteLedger(path, **boot(name, now=now, wall=wall))
    assert await taken(ledger, "svc", MINUTE) == (left,)  # by looking alone
    await book(ledger, "third", MINUTE)  # by writing, for all
    assert await taken(ledger, "svc", MINUTE) == (left,)
    assert await taken(ledger, "other", MINUTE) == (left,)
    await ledger.aclose()
    later = now + 61.0
    ledger = SqliteLedger(path, **boot(name, now=later, wall=wall))
    assert await taken(ledger, "svc", MINUTE) == (0,)
    await ledger.aclose()


async def test_after_a_reboot_everybody_shifts_only_once(path: Path):
    for name, now, wall in (("a", 1000.0, 5e8), ("b", 5.0, 5e8 + 10.0)):
        ledger = SqliteLedger(path, **boot(name, now=now, wall=wall))
        await ledger.refund("svc", new_id())
        await book(ledger, "svc", MINUTE, weight=Weight(requests=10))
        await ledger.aclose()
    for now, left in ((50.0, 20), (57.0, 10), (66.0, 0)):
        ledger = SqliteLedger(path, **boot("b", now=now, wall=5e8))
        await ledger.refund("svc", new_id())
        assert await taken(ledger, "svc", MINUTE) == (left,)
        await ledger.aclose()


def test_the_clock_counts_from_the_machines_start():
    listed = float(Path("/proc/uptime").read_text().split()[0])
    assert listed - 1.0 <= accounts_file.uptime() <= listed + 10.0
    assert accounts_file.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


# Cancellation


@pytest.mark.parametrize("after", [-1.0, 0.0, 0.0001, 0.0002, 0.001])
async def test_only_what_callers_know_of_stays_booked(ledger: SqliteLedger, after: float):
    known = 0
    for _ in range(50):
        with anyio.move_on_after(after):
            await book(ledger, "svc", TOKENS, weight=Weight(input_tokens=1))
            known += 1
    assert await taken(ledger, "svc", TOKENS) == (known,)


async def test_a_booking_that_waits_for_the_lock_is_given_back_when_cancelled(
    ledger: SqliteLedger, path: Path
):
    await book(ledger, "svc", MINUTE)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with anyio.move_on_after(0.1) as scope:
        async with anyio.create_task_group() as group:
            for _ in range(5):  # the first waits for the lock, the others for the thread
                group.start_soon(partial(ledger.book, "svc", new_id(), [MINUTE], ONE, max_delay=9))
    assert scope.cancelled_caught
    db.execute("COMMIT")
    db.close()
    await ledger.aclose()
    later = SqliteLedger(path)
    assert await taken(later, "svc", MINUTE) == (1,)
    await later.aclose()


async def test_what_is_reported_in_a_cancelled_scope_is_written(ledger: SqliteLedger):
    settled, refunded = [await book(ledger, "svc", MINUTE) for _ in range(2)]
    for report in (
        lambda: ledger.settle("svc", settled, [MINUTE], Weight(requests=5)),
        lambda: ledger.refund("svc", refunded),
        lambda: ledger.throttle("svc", time.time() + 60.0, "busy"),
    ):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await report()
        assert scope.cancelled_caught
    assert await taken(ledger, "svc", MINUTE) == (5,)
    assert (await ledger.status("svc", [])).reason == "busy"


async def test_the_event_loop_goes_on_while_the_file_is_locked(ledger: SqliteLedger, path: Path):
    await book(ledger, "svc", MINUTE)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as group:
        group.start_soon(partial(ledger.book, "svc", "b", [MINUTE], ONE, max_delay=0.0))
        for _ in range(50):
            await anyio.sleep(0.001)
        assert await taken(SqliteLedger(path), "svc", MINUTE) == (1,)
        db.close()
    assert await taken(ledger, "svc", MINUTE) == (2,)


async def test_one_ledger_serves_one_event_loop_after_another(path: Path):
    ledger = SqliteLedger(path)

    def run() -> None:
        anyio.run(partial(ledger.book, "svc", new_id(), [MINUTE], ONE, max_delay=0.0))

    for _ in range(3):
        await anyio.to_thread.run_sync(run)
    assert await taken(ledger, "svc", MINUTE) == (3,)
    await ledger.aclose()


# Processes

FORKING = """
import os, sys
import anyio
from leyline.limits import Weight, named_limit
from leyline.quota.sqlite import SqliteLedger

ledger = SqliteLedger(sys.argv[1])
limits = [named_limit("rpm", 1000)]

async def book(times):
    for number in range(times):
        await ledger.book("svc", f"{os.getpid()}-{number}", limits, Weight(), max_delay=0.0)

async def main(times):
    await book(times)
    await ledger.aclose()

anyio.run(book, 1)
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    anyio.run(book, 10)
    os.write(ready[1], b"x")
    os.read(go[0], 1)       # the parent has closed the file by now
    anyio.run(main, 20)     # the first ten ids again, then ten more
    sys.exit()
anyio.run(book, 5)
os.read(ready[0], 1)
anyio.run(main, 1)
ledger = SqliteLedger(sys.argv[1])
anyio.run(book, 100)
os.write(go[1], b"x")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


async def test_parent_and_child_go_on_after_a_fork(ledger: SqliteLedger, path: Path):
    argv = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(path)]
    forked = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (forked.stdout, forked.stderr) == ("0\n", "")
    assert await taken(ledger, "svc", MINUTE) == (1 + 5 + 1 + 100 + 10 + 20,)


async def test_many_may_make_the_file_at_the_same_moment(path: Path):
    for number in range(10):
        ledgers = [SqliteLedger(path.with_name(f"{number}.db")) for _ in range(8)]
        async with anyio.create_task_group() as group:
            for ledger in ledgers:
                group.start_soon(book, ledger, "svc", MINUTE)
        assert await taken(ledgers[0], "svc", MINUTE) == (8,)
        for ledger in ledgers:
            await ledger.aclose()


async def test_a_program_that_forgets_to_close_it_ends_all_the_same(path: Path):
    program = f"{PROGRAM}anyio.run(main)\n".replace("    await ledger.aclose()\n", "")
    argv = [sys.executable, "-c", program, str(path), "3"]
    run = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert (run.stdout, run.stderr) == ("", "")


async def test_ledgers_that_compete_for_the_lock_lose_nothing(path: Path):
    async with anyio.create_task_group() as group:
        ledgers = [SqliteLedger(path) for _ in range(4)]
        for ledger in ledgers * 5:
            group.start_soon(book, ledger, "svc", MINUTE)
    refused = await ledgers[0].book("svc", "b", [MINUTE], ONE, max_delay=LATE)
    assert not isinstance(refused, Booked)
    for ledger in ledgers:
        await ledger.aclose()


async def test_a_file_that_is_removed_while_in_use_is_not_shared_by_half(path: Path):
    rpm = (named_limit("rpm", 2),)
    old, new = SqliteLedger(path), SqliteLedger(path)
    await old.book("a", "before", rpm, Weight(), max_delay=0.0)
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink()
    outcomes = [
        await ledger.book("a", str(number), rpm, Weight(), max_delay=0.0)
        for number, ledger in enumerate((new, old, new, old))
    ]
    assert [type(outcome) for outcome in outcomes] == [Booked, Booked, Refused, Refused]
    await old.aclose()
    await new.aclose()
