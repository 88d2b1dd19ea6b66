"""A journal that is taken away while its batch runs."""

from pathlib import Path

import pytest

from leyline.batch.errors import BatchError
from leyline.batch.journal import Journal, Result
from leyline.batch.source import Record

ANSWER = Result(id="a", success=True, service="svc", tokens=1, cost=None, line="{}")


def test_a_journal_that_is_removed_under_way_does_not_begin_anew(tmp_path: Path):
    journal = Journal(tmp_path / "out.journal")
    with journal.intake() as intake:
        intake.add("a", Record(1, {"prompt": "hello"}))
        intake.accept({})
    for ending in ("", "-wal", "-shm"):
        Path(f"{journal.path}{ending}").unlink()
    with pytest.raises(BatchError, match="removed or replaced while it was in use"):
        journal.keep([ANSWER])
    with pytest.raises(BatchError, match="removed or replaced while it was in use"):
        journal.waiting(0, 10)  # else nothing would seem to be left to do
    assert list(tmp_path.iterdir()) == []
