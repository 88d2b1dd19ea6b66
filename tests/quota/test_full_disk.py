"""A disk that takes no more: said clearly, nothing is lost, and it works again when it has room.

The room is taken by the system: no file of the process may grow beyond a size, so that writes
fail in the kernel. Run as a program (``python -m tests.quota.test_full_disk FILE ROOM``), this
books until it cannot, says how often it could and what it was told, and waits for a line; then it
has room again, books once more, and says how much is used.
"""

import json
import resource
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest

from leyline.errors import LedgerError
from leyline.limits import Weight, named_limit
from leyline.quota.sqlite import SqliteLedger

LIMITS = (named_limit("rpm", 10**6), named_limit("tpd", 10**9))
FAILURES = 5
TOO_LONG = 20_000

pytestmark = pytest.mark.anyio


async def book(ledger: SqliteLedger, booking: str) -> None:
    await ledger.book("svc", booking, LIMITS, Weight(input_tokens=10), max_delay=0.0)


async def used(path: Path) -> tuple[int, ...]:
    ledger = SqliteLedger(path)
    status = await ledger.status("svc", LIMITS)
    await ledger.aclose()
    return tuple(limit.used for limit in status.limits)


async def fill(path: Path, room: int) -> None:
    warm = SqliteLedger(path.with_name("warm.db"))
    await book(warm, "b")  # everything is loaded
    await warm.aclose()
    ledger, booked, told = SqliteLedger(path), 0, list[str]()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    while len(told) < FAILURES:
        assert booked < TOO_LONG
        try:
            await book(ledger, f"b{booked}")
            booked += 1
        except LedgerError as error:
            told.append(str(error))
    print(json.dumps({"booked": booked, "told": told}), flush=True)
    sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await book(ledger, "more")
    assert await ledger.settle("svc", "b0", LIMITS, Weight(input_tokens=10)) == (booked > 0)
    await ledger.aclose()


def check(path: Path) -> None:
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


@pytest.mark.parametrize("room", [0, 10_000, 33_000, 100_000])
async def test_a_disk_that_takes_no_more_loses_nothing_and_works_again(tmp_path: Path, room: int):
    path = tmp_path / "quotas.db"
    argv = [sys.executable, "-m", "tests.quota.test_full_disk", str(path), str(room)]
    with subprocess.Popen(
        argv,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as filler:
        assert filler.stdin is not None
        assert filler.stdout is not None
        found = json.loads(filler.stdout.readline())
        before = found["booked"]
        assert (before > 0) == (room >= 33_000)  # what it shares with others takes 32 KiB
        for said in found["told"]:
            assert said.startswith(f"quotas in {path}: the disk ")
            assert "that it has room" in said
        assert await used(path) == (before, 10 * before)  # as others see it meanwhile
        check(path)
        filler.communicate("now\n", timeout=60)
    assert filler.returncode == 0
    assert await used(path) == (before + 1, 10 * before + 10)
    check(path)


async def test_what_sqlite_calls_a_full_disk_is_called_one(tmp_path: Path, monkeypatch):
    """The one error of a disk that no limit of the system brings about; SQLite's own one does."""

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                super().execute("PRAGMA max_page_count = 6")
            return super().execute(sql, *parameters)

    ledger = SqliteLedger(tmp_path / "quotas.db")
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Full))
    with pytest.raises(LedgerError, match="the disk is full; make room on it"):
        for number in range(1000):
            await book(ledger, f"b{number}")
    await ledger.aclose()


if __name__ == "__main__":
    anyio.run(fill, Path(sys.argv[1]), int(sys.argv[2]))
