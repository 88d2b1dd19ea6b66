"""The journal, for several who look into it while one writes."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leyline.batch.errors import BatchError
from leyline.batch.journal import Journal, Result
from leyline.batch.source import Record


def result(number: int) -> Result:
    return Result(id=str(number), success=True, service="s", tokens=1, cost=None, line=f"{number}")


def impatient(path: Path) -> Journal:
    journal = Journal(path)
    journal._file.patience = 0.0
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "out.journal"
    with contextlib.closing(Journal(path)) as journal:
        with journal.intake() as intake:
            for number in (1, 2, 3):
                intake.add(str(number), Record(number, {"prompt": "x"}))
            intake.accept({"input": ""})
        journal.keep([result(1)])
    return path


def test_a_long_look_keeps_nobody_from_writing_and_sees_one_moment(path: Path):
    looking, writing = Journal(path), impatient(path)
    with looking.answered() as is_done:
        writing.keep([result(2)])
        assert (is_done("1"), is_done("2")) == (True, False)
    with looking.answered() as is_done:
        assert is_done("2")


LOOKS: dict[str, Callable[[Journal], Any]] = {
    "facts": lambda journal: journal.facts(),
    "sums": lambda journal: journal.sums(),
    "waiting": lambda journal: journal.waiting(0, 9),
    "as done": lambda journal: list(journal.lines(ordered=False)),
    "in order": lambda journal: list(journal.lines(ordered=True)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_who_only_reads_waits_for_nobody_who_writes(path: Path, look: str):
    writing, looking = Journal(path), impatient(path)
    with writing.intake():
        assert LOOKS[look](looking)
        with pytest.raises(BatchError, match="other processes hold it"):
            looking.keep([result(2)])


def test_what_is_there_already_is_kept_once(path: Path):
    journal = Journal(path)
    journal.keep([result(1), result(2)])
    assert list(journal.lines(ordered=False)) == ["1", "2"]
