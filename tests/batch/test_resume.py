"""Killed, interrupted, out of room: the same command goes on, and every row ends in one line."""

import os
import random
import time

import pytest

from tests.batch.pipelines import Pipeline
from tests.cli.conftest import Machine

ROWS = int(os.environ.get("LEYLINE_BATCH_ROWS", "400"))
KILLS = int(os.environ.get("LEYLINE_BATCH_KILLS", "12"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("ordered", [False, True], ids=["as done", "ordered"])
def test_killed_at_any_moment_nothing_is_lost_or_run_again(machine: Machine, ordered: bool):
    pipeline = Pipeline(machine, ROWS)
    pipeline.prepare()
    options = ("--ordered",) if ordered else ()
    rng = random.Random(7)
    kills = 0
    while kills < KILLS:
        written = {r["id"] for r in pipeline.results()}
        runs_before = len(pipeline.runs())
        process = pipeline.start(*options)
        share = ROWS / (KILLS + 2)
        try:  # until about so many more are done, or at once
            wanted = min(ROWS, len(written) + rng.randrange(int(share) + 1))
            while len(pipeline.results()) < wanted and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, 0.6) if rng.random() < 0.3 else 0.0)
        finally:
            process.kill()
            process.communicate()
        kills += 1
        assert not written & set(pipeline.runs()[runs_before:])
        assert written <= {r["id"] for r in pipeline.results()}
    written = {r["id"] for r in pipeline.results()}
    runs_before = len(pipeline.runs())
    done = pipeline.finish(*options)
    assert done.returncode == 0, done.stderr
    assert not written & set(pipeline.runs()[runs_before:])
    pipeline.check_complete()
    if ordered:
        assert [r["id"] for r in pipeline.results()] == pipeline.ids


def test_a_torn_last_line_is_repaired(machine: Machine):
    pipeline = Pipeline(machine, 12)
    pipeline.prepare()
    assert pipeline.finish().returncode == 0
    whole = pipeline.output.read_bytes()
    pipeline.output.write_bytes(whole[:-40])
    done = pipeline.finish()
    assert (done.returncode, pipeline.output.read_bytes()) == (0, whole)
    assert "bytes at its end were no result as it was written" in done.stderr
    assert len(pipeline.runs()) == 12


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"{}\n"])
def test_an_output_that_was_lost_or_damaged_is_written_anew(machine: Machine, damage: bytes):
    pipeline = Pipeline(machine, 12)
    pipeline.prepare()
    assert pipeline.finish().returncode == 0
    whole = pipeline.output.read_bytes()
    pipeline.output.write_bytes(damage + whole[len(damage) : 300])
    assert pipeline.finish().returncode == 0
    assert pipeline.output.read_bytes() == whole
    assert len(pipeline.runs()) == 12


def test_the_first_interrupt_finishes_what_runs(machine: Machine):
    pipeline = Pipeline(machine, 30)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; sleep 0.5; echo "to $line"')
    process = pipeline.start("--concurrency", "3")
    pipeline.wait_for(3)
    while len(pipeline.runs()) < 6:
        time.sleep(0.01)
    pipeline.interrupt(process)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"stopped: 6 of 30 rows done" in said
    assert sorted(r["id"] for r in pipeline.results()) == sorted(pipeline.runs())
    assert pipeline.finish("--concurrency", "30").returncode == 0
    assert len(pipeline.runs()) == 30
    pipeline.check_complete()


def test_the_first_interrupt_waits_for_nobody_who_waits_for_a_quota(machine: Machine):
    pipeline = Pipeline(machine, 30)
    pipeline.prepare()
    config = machine.folder / "services.yaml"
    config.write_text(config.read_text().replace("}'}", "}', quota_limits: {rpm: 5}}"))
    process = pipeline.start()
    pipeline.wait_for(5)
    began = time.monotonic()
    pipeline.interrupt(process)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 20.0
    assert process.returncode == 130, said
    assert len(pipeline.runs()) == len(pipeline.results()) == 5


def test_the_second_interrupt_stops_at_once(machine: Machine):
    pipeline = Pipeline(machine, 8)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; sleep 100; echo "to $line"')
    process = pipeline.start()
    while len(pipeline.runs()) < 8:
        time.sleep(0.01)
    began = time.monotonic()
    pipeline.interrupt(process)
    time.sleep(0.3)
    assert process.poll() is None
    pipeline.interrupt(process)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 30.0
    assert pipeline.results() == []


def test_nobody_else_writes_to_the_output_meanwhile(machine: Machine):
    pipeline = Pipeline(machine, 8)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; sleep 100')
    pipeline.start()
    while len(pipeline.runs()) < 8:
        time.sleep(0.01)
    other = pipeline.finish()
    assert other.returncode == 2
    assert "another batch writes to it" in other.stderr
