"""What is promised of the disk: first the journal, durably, then the output; many in one go."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from leyline.batch.errors import BatchError
from leyline.batch.journal import Journal, Result
from leyline.batch.opening import Opened, Opening
from leyline.batch.output import OutputFile
from leyline.batch.source import Format, Source
from leyline.batch.writer import Writer

pytestmark = pytest.mark.anyio


def result(number: int) -> Result:
    return Result(
        id=str(number), success=True, service="s", tokens=1, cost=None, line=f'{{"id":{number}}}'
    )


def opening(folder: Path, rows: int = 600, **options) -> Opening:
    data = "".join(f"prompt {n}\n" for n in range(1, rows + 1)).encode()
    source = Source(name="in", stream=io.BytesIO(data), format=Format.LINES)
    return Opening(
        source=source, output=folder / "out", template=None, options={}, check=lambda _: (),
        **options,
    )  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with opening(tmp_path).open() as opened:
        yield opened


def written(opened: Opened) -> list[str]:
    return opened.output.path.read_text().splitlines()


async def test_a_result_survives_a_power_cut_before_its_line_is_in_the_output(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        seen.append((os.readlink(f"/proc/self/fd/{descriptor}"), len(written(opened))))

    monkeypatch.setattr(os, "fsync", fsync)
    writer = Writer(opened.journal, opened.output)
    writer.add(result(1))
    await writer.flush()
    assert seen == [(f"{opened.journal.path}-wal", 0)]
    assert written(opened) == ['{"id":1}']


async def test_many_results_are_one_wait_for_the_disk(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    syncs: list[int] = []
    monkeypatch.setattr(os, "fsync", syncs.append)
    writer = Writer(opened.journal, opened.output)
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        for number in range(1, 601):
            writer.add(result(number))
        while len(written(opened)) < 600:
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert len(syncs) <= 2


async def test_in_order_a_line_waits_for_those_before_it(tmp_path: Path):
    with opening(tmp_path, ordered=True).open() as opened:
        writer = Writer(opened.journal, opened.output, ordered=True)
        for number in (2, 3, 5):
            writer.add(result(number))
        await writer.flush()
        assert written(opened) == []
        writer.add(result(1))
        await writer.flush()
        assert written(opened) == [f'{{"id":{n}}}' for n in (1, 2, 3)]
    with opening(tmp_path, ordered=True).open() as again:  # as after a crash
        assert (again.sums.done, again.repair.kept) == (4, 3)
        writer = Writer(again.journal, again.output, ordered=True, lines=again.repair.kept)
        writer.add(result(4))
        await writer.flush()
        assert written(again) == [f'{{"id":{n}}}' for n in range(1, 6)]


async def test_behind_a_slow_row_lines_go_out_in_small_parts_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    parts: list[int] = []
    real = OutputFile.append

    def append(output: OutputFile, lines: Sequence[str]) -> None:
        parts.append(len(lines))
        if len(parts) == 3:
            raise BatchError("out", "killed")
        real(output, lines)

    monkeypatch.setattr(OutputFile, "append", append)
    with opening(tmp_path, ordered=True).open() as opened:
        writer = Writer(opened.journal, opened.output, ordered=True)
        for number in range(1, 601):
            writer.add(result(number))
        with pytest.raises(BatchError, match="killed"):
            await writer.flush()
        assert max(parts) <= 64
        assert writer.lines == len(written(opened)) == sum(parts[:2])
    with opening(tmp_path, ordered=True).open() as again:
        assert written(again) == [f'{{"id":{n}}}' for n in range(1, 601)]


async def test_what_the_journal_did_not_take_is_tried_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    writer = Writer(opened.journal, opened.output)
    writer.add(result(1))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "keep", _full)
        with pytest.raises(BatchError, match="full"):
            await writer.flush()
    writer.add(result(2))
    assert [result.id for result in writer.unwritten] == ["1", "2"]
    await writer.flush()
    assert writer.unwritten == []
    assert written(opened) == ['{"id":1}', '{"id":2}']


async def test_behind_half_a_line_nothing_is_written_and_the_journal_goes_on(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    writer = Writer(opened.journal, opened.output)
    writer.add(result(1))
    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "append", _full)
        with pytest.raises(BatchError, match="full"):
            await writer.flush()
    writer.add(result(2))
    await writer.flush()
    assert (written(opened), writer.unwritten) == ([], [])
    assert list(opened.journal.lines(ordered=False)) == ['{"id":1}', '{"id":2}']


def _full(*_: object) -> None:
    raise BatchError("disk", "it is full")


async def test_those_who_bring_too_much_wait(opened: Opened):
    writer = Writer(opened.journal, opened.output)
    for number in range(1, 301):
        writer.add(result(number))
    with anyio.move_on_after(0.1) as scope:
        await writer.room()
    assert scope.cancelled_caught
    await writer.flush()
    await writer.room()
