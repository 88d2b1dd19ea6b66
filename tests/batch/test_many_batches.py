"""Eight batches at the same time on one machine: together within the quotas, and all finish."""

import json
import subprocess

import pytest

from leyline.testing.ledgers import fullest
from tests.cli.conftest import Machine

BATCHES = 8
ROWS = 25
AMOUNT, PER = 40, 2.0


@pytest.mark.timeout(300)
def test_eight_batches_keep_together_within_one_quota(machine: Machine):
    tool = machine.tool("tool", 'read -r line; echo "to $line"')
    # The guard bears starts that this machine, which is busy with 200 of them, makes late.
    windows = f"windows: [{{requests: {AMOUNT}, per: {PER:g}}}], guard: 0.5"
    machine.configure(
        f"services:\n  svc: {{command: {tool}, command_template: '{{command}}',"
        f" quota_limits: {{{windows}}}}}\n"
    )
    for number in range(BATCHES):
        rows = "".join(f"{number}-{row}\n" for row in range(ROWS))
        (machine.folder / f"in{number}.txt").write_text(rows)
    processes = [
        machine.start(
            "batch", f"in{n}.txt", "-o", f"out{n}.jsonl", "--concurrency", "4",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for n in range(BATCHES)
    ]  # fmt: skip
    said = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * BATCHES, said
    starts = []
    for number in range(BATCHES):
        lines = (machine.folder / f"out{number}.jsonl").read_text().splitlines()
        results = [json.loads(line) for line in lines]
        assert sorted(r["text"] for r in results) == sorted(
            f"to {number}-{row}" for row in range(ROWS)
        )
        starts += [(r["started_at"], r["started_at"]) for r in results]
    worst = fullest(sorted(starts), PER)
    seconds = max(starts)[0] - min(starts)[0]
    print(f"\nfullest window {worst} of {AMOUNT}; {len(starts)} starts in {seconds:.1f} s")
    assert worst <= AMOUNT
