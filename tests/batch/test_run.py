"""What a run counts: every process that ran for a row, and only what was written down."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define

from leyline.batch.errors import BatchError
from leyline.batch.journal import Journal
from leyline.batch.opening import Opened, Opening
from leyline.batch.run import Report, Run
from leyline.batch.settings import Ending, Settings
from leyline.batch.source import Format, Source
from leyline.model import ExecutionResult, Failure, FailureKind, Usage
from leyline.service_registry import ServiceRegistry
from leyline.testing import ScriptedService

pytestmark = pytest.mark.anyio

ROWS = 40
CRASH = Failure(kind=FailureKind.CRASHED, message="as scripted")
QUICKLY = {"attempts": 2, "base": 0.001, "cap": 0.002}


@define
class Ran:
    """A run that is over, and what it left behind."""

    run: Run
    report: Report
    opened: Opened

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.opened.output.path.read_text().splitlines()]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    data = "".join(f"prompt {n}\n" for n in range(ROWS)).encode()
    source = Source(name="in", stream=io.BytesIO(data), format=Format.LINES)
    opening = Opening(
        source=source, output=tmp_path / "out", template=None, options={}, check=lambda _: ()
    )
    with opening.open() as opened:
        yield opened


def result(name: str, *, fails: bool = False, **usage: Any) -> ExecutionResult:
    used = Usage(
        **{"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "measured": True} | usage
    )
    return ExecutionResult(
        success=not fails, text="" if fails else "yes", service=name, usage=used,
        failure=CRASH if fails else None,
    )  # fmt: skip


Runs = Callable[[int], ExecutionResult]
"""What one run of a service comes to, of how many ran before it."""


def register(registry: ServiceRegistry, name: str, runs: Runs, **config: Any) -> None:
    def make(*_: object):
        count = iter(range(1_000_000))

        async def run(_: object) -> ExecutionResult:
            await anyio.sleep(0.005)  # longer than the writer waits, for all of them
            return runs(next(count))

        return run

    config = ScriptedService(name, breaker=None, concurrency=None, **config).config
    registry.register(name, config, run=make)


async def answered(
    opened: Opened, services: dict[str, Runs], *, retry: Any = None, **settings: Any
):
    run = Run(opened, Settings(**{"concurrency": 1} | settings))
    async with ServiceRegistry(":memory:", usage=False, on_event=run.hear) as registry:
        for name, runs in services.items():
            register(registry, name, runs, retry=retry, budget=None)
        return Ran(run, await run.main(registry), opened)


async def test_a_row_costs_what_all_its_runs_on_all_services_cost(opened: Opened):
    ran = await answered(
        opened,
        {
            "a": lambda _: result("a", fails=True, cost_usd=1.0),
            "b": lambda _: result("b", cost_usd=0.5),
        },
    )
    assert ran.report.ending is Ending.DONE
    first = ran.lines[0]
    assert (first["service"], first["attempts"], first["cost_usd"]) == ("b", 2, 1.5)
    assert first["tokens"] == {"input": 14, "output": 6, "total": 20, "measured": True}
    sums = opened.journal.sums()
    assert ran.run.progress.sums == sums
    assert sums.cost == sum(line["cost_usd"] for line in ran.lines)
    assert sums.tokens == sum(line["tokens"]["total"] for line in ran.lines)


async def test_a_row_that_fails_everywhere_costs_what_it_cost_nevertheless(opened: Opened):
    fails = {n: lambda _, n=n: result(n, fails=True, cost_usd=1.0) for n in ("a", "b")}
    ran = await answered(opened, fails, max_cost=4.0)
    assert ran.report.ending is Ending.COST
    assert [(line["cost_usd"], line["attempts"]) for line in ran.lines] == [(2.0, 2)] * 2


async def test_retries_cost_too(opened: Opened):
    ran = await answered(
        opened,
        {"a": lambda number: result("a", fails=number % 2 == 0, cost_usd=1.0)},
        retry=QUICKLY,
        max_cost=10.0,
    )
    assert ran.report.ending is Ending.COST
    assert [(line["cost_usd"], line["attempts"]) for line in ran.lines] == [(2.0, 2)] * 5


async def test_one_estimate_makes_a_sum_of_estimates(opened: Opened):
    ran = await answered(
        opened,
        {
            "a": lambda _: result("a", fails=True, measured=False),
            "b": lambda _: result("b", cost_usd=0.5),
        },
    )
    assert ran.lines[0]["tokens"]["measured"] is False
    assert ran.lines[0]["cost_usd"] == 0.5


async def test_answers_of_unknown_cost_are_counted_by_service(opened: Opened):
    ran = await answered(
        opened,
        {
            "a": lambda number: result("a", fails=number >= 10, cost_usd=1.0),
            "b": lambda _: result("b"),
        },
        max_cost=1_000.0,
    )
    assert ran.run.progress.unpriced == {"b": ROWS - 10}


async def test_what_could_not_be_written_down_is_not_done(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    keep = Journal.keep

    def full(journal: Journal, results: Any) -> None:
        if journal.sums().done + len(results) > ROWS / 2:
            raise BatchError("disk", "it is full")
        keep(journal, results)

    monkeypatch.setattr(Journal, "keep", full)
    ran = await answered(opened, {"a": lambda number: result("a", fails=number % 2 == 0)})
    assert (ran.report.ending, str(ran.report.why)) == (Ending.BROKEN, "disk: it is full")
    sums = opened.journal.sums()
    assert ran.run.progress.sums.done == sums.done == len(ran.lines)
    assert ran.run.progress.sums.failed == sums.failed
    assert ran.run.progress.done - sums.done == ran.report.unwritten > 0


async def test_what_cannot_be_written_for_a_moment_is_written_at_the_end(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    keep, calls = Journal.keep, iter(range(1_000))

    def held(journal: Journal, results: Any) -> None:
        if next(calls) == 0:
            raise BatchError("journal", "other processes hold it")
        keep(journal, results)

    monkeypatch.setattr(Journal, "keep", held)
    ran = await answered(opened, {"a": lambda _: result("a")})
    assert (ran.report.ending, ran.report.unwritten) == (Ending.BROKEN, 0)
    assert ran.run.progress.sums.done == opened.journal.sums().done == len(ran.lines) > 0
