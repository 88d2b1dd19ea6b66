"""Races and cascades with live processes: the right outcome, and nothing is left of any of them."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from attrs import define

from leyline import (
    AllServicesFailedError,
    BudgetPolicy,
    ExecutionResult,
    LeylineError,
    ServiceConfig,
    ServiceRegistry,
)
from leyline.clock import SYSTEM_CLOCK
from leyline.limits import Limit, Weight
from leyline.quota import MemoryLedger
from tests.processes import is_alive, open_descriptors, read_pids, until_dead

pytestmark = pytest.mark.anyio

STUBBORN = str(Path(__file__).parents[1] / "programs" / "stubborn.sh")
MUCH = {"rpm": 10_000}


def shell(name: str, script: str, **fields: object) -> ServiceConfig:
    """A service that is a line of shell."""
    fields.setdefault("breaker", None)
    fields.setdefault("grace_seconds", 0.2)
    template = f"{{command}} -c '{script}' {{prompt}}"
    return ServiceConfig(name, "/bin/sh", preset="", command_template=template, **fields)


class CountingLedger(MemoryLedger):
    """Remembers what was booked, and how often each booking was settled or given back."""

    def __init__(self) -> None:
        super().__init__(SYSTEM_CLOCK)
        self.booked: set[str] = set()
        self.done: list[str] = []

    async def book(self, account: str, booking: str, limits, weight: Weight, **how):
        self.booked.add(booking)
        return await super().book(account, booking, limits, weight, **how)

    async def settle(self, account: str, booking: str, limits: list[Limit], weight: Weight) -> bool:
        self.done.append(booking)
        return await super().settle(account, booking, limits, weight)

    async def refund(self, account: str, booking: str) -> bool:
        self.done.append(booking)
        return await super().refund(account, booking)


async def race_against_a_stubborn_loser(
    registry: ServiceRegistry, tmp_path: Path
) -> tuple[ExecutionResult, float]:
    """The result, and seconds between the moment the winner ended and its result."""
    pids, ended, go = tmp_path / "pids", tmp_path / "ended", tmp_path / "go"
    registry.register(
        "stubborn",
        ServiceConfig(
            "stubborn",
            STUBBORN,
            preset="",
            command_template=f"{{command}} {pids}",
            grace_seconds=0.3,
            quota_limits=MUCH,
        ),
    )
    # Answers once the other is there, and writes down when.
    wait = f"while [ ! -e {go} ]; do sleep 0.01; done; date +%s.%N > {ended}; echo fine"
    registry.register("winner", shell("winner", wait, quota_limits=MUCH))

    async def let_go() -> None:
        await read_pids(pids)
        go.touch()

    async with anyio.create_task_group() as group:
        group.start_soon(let_go)
        result = await registry.race("hi", ["stubborn", "winner"])
    return result, time.time() - float(ended.read_text())


async def test_the_winner_is_here_at_once_and_the_stubborn_loser_dies_behind_it(tmp_path: Path):
    ledger = CountingLedger()
    async with ServiceRegistry(ledger) as registry:
        result, late = await race_against_a_stubborn_loser(registry, tmp_path)
        pids = await read_pids(tmp_path / "pids")
        assert any(map(is_alive, pids))  # nobody has waited for it
        died = await until_dead(pids)
        print(f"{late * 1000:.1f} ms after the winner's end; the loser was dead {died:.2f} s later")
        assert (result.service, result.text) == ("winner", "fine")
        assert late < 0.5
        assert died < 0.3 + 2.0
        with anyio.fail_after(20):
            while len(ledger.done) < 2:
                await anyio.sleep(0.01)
        for name in ("stubborn", "winner"):
            (limit,) = (await registry.quota_status(name)).limits
            assert limit.used == 1
    assert len(ledger.booked) == 2
    assert sorted(ledger.done) == sorted(ledger.booked)  # each once


async def test_outside_a_block_the_loser_is_dead_when_the_race_returns(tmp_path: Path):
    ledger = CountingLedger()
    result, _ = await race_against_a_stubborn_loser(ServiceRegistry(ledger), tmp_path)
    assert result.service == "winner"
    assert not any(map(is_alive, await read_pids(tmp_path / "pids")))
    assert sorted(ledger.done) == sorted(ledger.booked)
    assert len(ledger.done) == 2


async def test_a_hedge_starts_where_the_quota_has_room_kept_in_a_file():
    async with ServiceRegistry() as registry:
        registry.register("slow", shell("slow", "sleep 600", quota_limits=MUCH))
        registry.register("quick", shell("quick", "echo fine", quota_limits=MUCH))
        result = await registry.race("hi", ["slow", "quick"], stagger=0.1)
    assert result.service == "quick"


async def test_with_the_first_exhausted_the_second_answers_in_its_own_time():
    first = {"windows": [{"requests": 1, "per": "1h"}]}
    async with ServiceRegistry() as registry:
        registry.register("first", shell("first", "echo one", quota_limits=first))
        registry.register("second", shell("second", "sleep 0.1; echo two", quota_limits=MUCH))
        assert (await registry.execute_with_failover("hi")).service == "first"
        overheads: list[float] = []
        for _ in range(5):
            began = time.monotonic()
            result = await registry.execute_with_failover("hi", services=["first", "second"])
            overheads.append(time.monotonic() - began - result.duration)
            assert result.service == "second"
    print(f"{min(overheads) * 1000:.1f} to {max(overheads) * 1000:.1f} ms beyond its own time")
    assert min(overheads) < 0.5


async def test_a_cascade_waits_for_a_place_rather_than_fail():
    async with ServiceRegistry() as registry:
        registry.register(
            "one", shell("one", "sleep 0.2; echo fine", quota_limits={"concurrent": 1})
        )
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(registry.execute_with_failover, "hi")


async def test_a_cascade_of_no_services_asks_none():
    async with ServiceRegistry() as registry:
        registry.register("a", shell("a", "echo fine"))
        with pytest.raises(AllServicesFailedError) as caught:
            await registry.execute_with_failover("hi", services=[])
    assert caught.value.attempts == ()


# --- Random races ---

SCRIPTS = {
    "answers": "echo $$ >> $PIDS; sleep 0.0$(($$ % 5 + 1)); echo fine",
    "at_once": "echo $$ >> $PIDS; echo fine",
    "fails": "echo $$ >> $PIDS; sleep 0.03; echo no >&2; exit 3",
    "dies": "exit 1",
    "hangs": "echo $$ >> $PIDS; sleep 600",
    "stubborn": 'trap "" TERM; echo $$ >> $PIDS; sleep 600 & echo $! >> $PIDS; wait; wait',
    "missing": "",
}
WINNERS = {"answers", "at_once"}


@define
class Plan:
    """One repetition: who races, how, and when the caller is cancelled, if it is."""

    services: list[str]
    stagger: float | str
    cascade: bool
    cancel: str
    after: float

    @classmethod
    def draw(cls, rng: random.Random) -> "Plan":
        services = rng.choices(list(SCRIPTS), k=rng.randint(1, 4))
        cancel = rng.choice(["no", "no", "scope", "task", "wait_for"])
        if cancel == "no" and not WINNERS & set(services):
            # Nobody would ever answer; all have to end by themselves.
            services = [name for name in services if name not in {"hangs", "stubborn"}] or ["fails"]
        return cls(
            services=services,
            stagger=rng.choice([0.0, 0.0, 0.02, "p95"]),
            cascade=rng.random() < 0.2,
            cancel=cancel,
            after=rng.choice([0.0, rng.uniform(0.0, 0.02), rng.uniform(0.0, 0.2)]),
        )

    def call(self, registry: ServiceRegistry) -> Awaitable[ExecutionResult]:
        if self.cascade:
            # Long enough for the share of one that hangs, short enough for many repetitions.
            return registry.execute_with_failover("hi", services=self.services, deadline=5.0)
        return registry.race("hi", self.services, stagger=self.stagger, deadline=5.0)

    def check(self, outcome: ExecutionResult | BaseException) -> None:
        """Whether *outcome* is one that may come of it."""
        able = WINNERS & set(self.services)
        match outcome:
            case ExecutionResult():
                assert outcome.success
                assert outcome.service in able
                assert outcome.text == "fine"
            case AllServicesFailedError():
                assert not able, f"{self}: {outcome}"
                names = [attempt.service for attempt in outcome.attempts]  # type: ignore[union-attr]
                assert set(names) <= set(self.services)
                # A hedge that could not start at once, and was asked again, is there twice.
                assert self.cascade or len(names) <= 2 * len(self.services)
                assert not self.cascade or len(names) == len(set(self.services))
            case TimeoutError():
                assert self.cancel == "wait_for"
            case asyncio.CancelledError():
                assert self.cancel in {"task", "scope"}
            case _:
                raise AssertionError(repr(outcome))


async def carry_out(plan: Plan, registry: ServiceRegistry) -> ExecutionResult | BaseException:
    """What comes of *plan*; a cancellation of the caller as itself."""
    outcome: ExecutionResult | BaseException = asyncio.CancelledError()
    try:
        match plan.cancel:
            case "scope":
                with anyio.CancelScope(deadline=anyio.current_time() + plan.after):
                    outcome = await plan.call(registry)
            case "task":
                task = asyncio.ensure_future(plan.call(registry))
                asyncio.get_running_loop().call_later(plan.after, task.cancel)
                outcome = await task
            case "wait_for":
                outcome = await asyncio.wait_for(plan.call(registry), plan.after)
            case _:
                outcome = await plan.call(registry)
    except (LeylineError, TimeoutError) as error:
        outcome = error
    except asyncio.CancelledError:
        if plan.cancel != "task":
            raise
    return outcome


def registry_of_all(pids: Path, ledger: CountingLedger) -> ServiceRegistry:
    registry = ServiceRegistry(ledger)
    for name, script in SCRIPTS.items():
        registry.register(
            name,
            shell(
                name,
                script,
                env={"PIDS": str(pids)},
                quota_limits=MUCH,
                budget=BudgetPolicy(share=1.0, least=1000),
            )
            if name != "missing"
            else ServiceConfig(name, "/nowhere/missing", preset="", breaker=None),
        )
    return registry


async def many(
    rng: random.Random, repetitions: int, one: Callable[[Plan], Awaitable[None]]
) -> None:
    """So many random plans, some at a time."""
    plans = iter([Plan.draw(rng) for _ in range(repetitions)])

    async def worker() -> None:
        for plan in plans:
            await one(plan)

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(worker)


def nothing_left(pids: Path, ledger: CountingLedger) -> None:
    assert not [pid for pid in map(int, pids.read_text().split()) if is_alive(pid)]
    assert sorted(ledger.done) == sorted(ledger.booked)  # each once


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("LEYLINE_TEST_SEED", random.randrange(10**6)))
    print(f"LEYLINE_TEST_SEED={chosen}")
    return chosen


@pytest.mark.timeout(300)
async def test_random_races_inside_a_block_leave_nothing(tmp_path: Path, seed: int):
    pids, ledger = tmp_path / "pids", CountingLedger()
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    outcomes: list[str] = []
    async with registry_of_all(pids, ledger) as registry:

        async def one(plan: Plan) -> None:
            outcome = await carry_out(plan, registry)
            outcomes.append(type(outcome).__name__)
            plan.check(outcome)

        await many(random.Random(seed), 200, one)
        with anyio.fail_after(30):
            while not registry._residence.own.runner.idle:
                await anyio.sleep(0.01)
        nothing_left(pids, ledger)
        running = len(asyncio.all_tasks() - tasks)
    print({name: outcomes.count(name) for name in sorted(set(outcomes))}, running)
    assert asyncio.all_tasks() == tasks
    assert open_descriptors() == descriptors
    assert len(outcomes) == 200


@pytest.mark.timeout(300)
async def test_random_races_outside_a_block_leave_nothing_when_each_returns(
    tmp_path: Path, seed: int
):
    pids, ledger = tmp_path / "pids", CountingLedger()
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    registry = registry_of_all(pids, ledger)

    async def one(plan: Plan) -> None:
        plan.check(await carry_out(plan, registry))

    await many(random.Random(seed), 40, one)
    nothing_left(pids, ledger)
    assert asyncio.all_tasks() == tasks
    assert open_descriptors() == descriptors
