"""What ``leyline batch`` says at its end."""

import io
from pathlib import Path

import pytest

from leyline.batch.errors import BatchError
from leyline.batch.journal import Result, Sums
from leyline.batch.opening import Opening
from leyline.batch.progress import Progress
from leyline.batch.run import Report
from leyline.batch.settings import Ending
from leyline.batch.source import Format, Source
from leyline.cli.batch_words import tell_ended
from leyline.cli.exits import ExitCode


def told(folder: Path, progress: Progress, report: Report) -> int:
    source = Source(name="in", stream=io.BytesIO(b"one\n"), format=Format.LINES)
    opening = Opening(
        source=source, output=folder / "out", template=None, options={}, check=lambda _: ()
    )
    with opening.open() as opened:
        return tell_ended(opened, progress, report)


def result(cost: float | None) -> Result:
    return Result(id="a", success=True, service="s", tokens=5, cost=cost, line="{}")


def test_what_could_not_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    progress = Progress(Sums(rows=9))
    progress.count(result(None))
    progress.count(result(None))
    progress.take_back([result(None)])
    why = BatchError("disk", "it is full")
    code = told(tmp_path, progress, Report(ending=Ending.BROKEN, why=why, unwritten=1))
    assert code == ExitCode.FAILED
    assert capsys.readouterr().err == (
        "leyline: disk: it is full\n"
        "leyline: ended, as it cannot go on: 1 of 9 rows done, 0 failed; 10 tokens; "
        "1 more not written down, to be run again; the same command goes on\n"
    )


def test_a_sum_of_costs_says_what_is_not_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    progress = Progress(Sums(rows=2))
    progress.count(result(0.5))
    progress.count(result(None), unpriced=True)
    assert told(tmp_path, progress, Report(ending=Ending.DONE)) == ExitCode.OK
    assert "10 tokens, $0.5000 (answers of unknown cost: 1); " in capsys.readouterr().err
