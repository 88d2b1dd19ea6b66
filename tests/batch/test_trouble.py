"""What can go wrong in a night: a full disk, a service that disappears, limits, quotas used up."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.batch.pipelines import Pipeline
from tests.cli.conftest import Machine


def limited(machine: Machine, limits: str) -> None:
    """Give the service of the pipeline a quota."""
    config = machine.folder / "services.yaml"
    config.write_text(config.read_text().replace("}'}", f"}}', quota_limits: {{{limits}}}}}"))


@pytest.mark.parametrize("room", [20_000, 60_000, 100_000])
def test_a_full_disk_loses_nothing_and_with_room_the_batch_goes_on(machine: Machine, room: int):
    pipeline = Pipeline(machine, 150)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; echo "to $line"')

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-m", "leyline.cli", "batch", "in.jsonl", "-o", "out.jsonl"],
        check=False, cwd=machine.folder, preexec_fn=fill,
        # Python itself would leave modules behind that are cut off.
        env=machine.environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode in {1, 2}, done.stderr
    assert "Traceback" not in done.stderr
    assert "the disk" in done.stderr or "File too large" in done.stderr
    written = {r["id"] for r in pipeline.results()}
    before = len(pipeline.runs())
    assert pipeline.finish().returncode == 0
    assert not written & set(pipeline.runs()[before:])
    pipeline.check_complete()


def test_a_service_that_disappears_ends_the_batch_and_its_rows_wait(machine: Machine):
    pipeline = Pipeline(machine, 60)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; sleep 0.05; echo "to $line"')
    tool = machine.bin / "tool"
    process = pipeline.start("--concurrency", "4")
    pipeline.wait_for(8)
    os.rename(tool, machine.bin / "hidden")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert b"no service can be used" in said
    assert 8 <= len(pipeline.results()) < 60
    assert all(r["success"] for r in pipeline.results())
    os.rename(machine.bin / "hidden", tool)
    assert pipeline.finish().returncode == 0
    assert len(pipeline.runs()) == 60
    pipeline.check_complete()


def test_where_one_of_two_services_disappears_the_other_does_it_all(machine: Machine):
    pipeline = Pipeline(machine, 60)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; sleep 0.05; echo "to $line"')
    second = machine.tool("second", 'read -r line; echo "to $line"')
    with open(machine.folder / "services.yaml", "a") as config:
        config.write(f"  two: {{command: {second}, command_template: '{{command}}'}}\n")
    process = pipeline.start("--concurrency", "4")
    pipeline.wait_for(8)
    (machine.bin / "tool").unlink()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    pipeline.check_complete()
    assert {r["service"] for r in pipeline.results()} == {"svc", "two"}


def test_a_row_that_wants_a_service_that_is_gone_fails_alone(machine: Machine):
    pipeline = Pipeline(machine, 30)
    pipeline.prepare()
    with open(machine.folder / "services.yaml", "a") as config:
        config.write("  two: {command: /nowhere/tool, command_template: '{command}'}\n")
    with open(machine.folder / "in.jsonl", "a") as rows:
        rows.write('{"id": "lost", "prompt": "x", "service": "two"}\n')
        rows.writelines(f'{{"id": "s{k}", "prompt": "s{k}"}}\n' for k in range(10))
    done = pipeline.finish("--concurrency", "2", "--service", "svc")
    assert done.returncode == 1, done.stderr
    results = {r["id"]: r for r in pipeline.results()}
    assert len(results) == 41
    assert {key for key, r in results.items() if not r["success"]} == {"lost"}
    assert results["lost"]["failure"]["kind"] == "not_found"
    assert results["lost"]["attempts"] == 0


def test_a_row_too_large_for_a_quota_fails_alone(machine: Machine):
    pipeline = Pipeline(machine, 10)
    pipeline.prepare()
    limited(machine, "tpm: 100000")
    with open(machine.folder / "in.jsonl", "a") as rows:
        rows.write(json.dumps({"id": "large", "prompt": "word " * 200_000}) + "\n")
    done = pipeline.finish("--concurrency", "2")
    assert done.returncode == 1, done.stderr
    results = {r["id"]: r for r in pipeline.results()}
    assert {key for key, r in results.items() if not r["success"]} == {"large"}


def test_a_row_that_fails_is_a_result_and_can_be_run_again(machine: Machine):
    pipeline = Pipeline(machine, 10)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; [ "$line" != r3 ] && echo "to $line"')
    done = pipeline.finish("--ordered")
    assert done.returncode == 1
    failed = pipeline.results()[3]
    assert (failed["id"], failed["success"], failed["failure"]["kind"]) == ("r3", False, "crashed")
    assert failed["attempts"] >= 1
    assert pipeline.finish("--ordered").returncode == 1  # what failed is done, unless asked
    machine.tool("tool", f'read -r line; echo "$line" >>{pipeline.log}; echo "to $line"')
    before = len(pipeline.runs())
    again = pipeline.finish("--ordered", "--retry-failed")
    assert again.returncode == 0, again.stderr
    assert pipeline.runs()[before:] == ["r3"]
    assert [r["id"] for r in pipeline.results()] == pipeline.ids
    pipeline.check_complete()


def test_only_errors_runs_nothing_that_has_not_been_run(machine: Machine):
    pipeline = Pipeline(machine, 40)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; [ "$line" != r3 ] && echo "to $line"')
    stopped = pipeline.finish("--max-failures", "1", "--concurrency", "1")
    assert stopped.returncode == 1
    assert "--max-failures" in stopped.stderr
    assert len(pipeline.results()) == 4
    machine.tool("tool", f'read -r line; echo "$line" >>{pipeline.log}; echo "to $line"')
    before = len(pipeline.runs())
    pipeline.finish("--only-errors")
    assert pipeline.runs()[before:] == ["r3"]
    assert len(pipeline.results()) == 4
    assert all(r["success"] for r in pipeline.results())


def test_a_batch_ends_when_it_has_cost_what_it_may(machine: Machine):
    pipeline = Pipeline(machine, 40)
    answer = json.dumps({"text": "yes", "cost": 0.25})
    pipeline.prepare(f"read -r line; echo '{answer}'")
    config = machine.folder / "services.yaml"
    output = "{format: json, text: out.text, cost_usd: out.cost}"
    config.write_text(config.read_text().replace("}'}", f"}}', output: {output}}}"))
    done = pipeline.finish("--max-cost", "1", "--concurrency", "1")
    assert done.returncode == 4, done.stderr
    assert "--max-cost" in done.stderr
    assert [r["cost_usd"] for r in pipeline.results()] == [0.25] * 4
    again = pipeline.finish("--max-cost", "1", "--concurrency", "1")
    assert again.returncode == 4
    assert len(pipeline.results()) == 4


def test_a_limit_of_costs_that_cannot_hold_is_told_once(machine: Machine):
    pipeline = Pipeline(machine, 40)
    pipeline.prepare()
    done = pipeline.finish("--max-cost", "0.01", "--concurrency", "4")
    assert done.returncode == 0, done.stderr
    assert "nobody knows what an answer of svc costs; --max-cost does not count it" in done.stderr
    assert done.stderr.count("--max-cost") == 1
    assert "--max-cost" not in pipeline.finish("--max-cost", "0.01").stderr


def test_a_quota_used_up_for_long_is_told_and_waited_for_or_not(machine: Machine):
    pipeline = Pipeline(machine, 12)
    pipeline.prepare()
    limited(machine, "daily: 5, reset: {zone: UTC}")
    process = pipeline.start()
    pipeline.wait_for(5)
    time.sleep(3.0)
    assert process.poll() is None
    pipeline.interrupt(process)
    _, said = process.communicate(timeout=60)
    assert b"the quota of svc is used up (rpd 5 of 5); it goes on at " in said
    ended = pipeline.finish("--no-wait")
    assert ended.returncode == 4
    assert "--no-wait" in ended.stderr
    assert len(pipeline.results()) == 5


def test_a_batch_ends_at_its_time(machine: Machine):
    pipeline = Pipeline(machine, 100)
    pipeline.prepare('read -r line; echo "$line" >>"$LOG"; sleep 0.3; echo "to $line"')
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 4))
    done = pipeline.finish("--until", until, "--concurrency", "2")
    assert done.returncode == 4, done.stderr
    assert "--until" in done.stderr
    assert 0 < len(pipeline.results()) < 100
    assert len(pipeline.runs()) == len(pipeline.results())
