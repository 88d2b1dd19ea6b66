"""A thousand calls at once on twenty services, with faults at random: none is lost, none counts
twice, and nothing is left."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import anyio
import pytest
from attrs import define, field

from leyline import (
    ErrorPattern,
    ExecutionResult,
    FailureKind,
    LeylineError,
    OutputConfig,
    OutputFormat,
    RetryPolicy,
    ServiceConfig,
    ServiceRegistry,
    SpawnError,
)
from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.events import AttemptFinished, AttemptStarted, CallFinished, CallStarted, Event
from leyline.limits import Limit, Weight
from leyline.quota import MemoryLedger
from leyline.quota.answers import Booked
from leyline.testing import Asked, Outcome, ScriptedService, ScriptedTool
from leyline.usage import MemorySink
from tests.processes import open_descriptors, until_dead
from tests.virtual import VIRTUAL_BACKEND, VIRTUAL_CLOCK

pytestmark = pytest.mark.anyio

MUCH = {"rpd": 1_000_000}
NAMES = [f"s{number}" for number in range(20)]
PROMPTS = [f"prompt {number}" for number in range(1500)]


class CountingLedger(MemoryLedger):
    """Remembers what was booked, and how often each booking was settled or given back."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.booked: list[str] = []
        self.done: list[str] = []

    async def book(self, account: str, booking: str, limits, weight: Weight, **how):
        outcome = await super().book(account, booking, limits, weight, **how)
        if isinstance(outcome, Booked):
            self.booked.append(booking)
        return outcome

    async def settle(self, account: str, booking: str, limits: list[Limit], weight: Weight) -> bool:
        self.done.append(booking)
        return await super().settle(account, booking, limits, weight)

    async def refund(self, account: str, booking: str) -> bool:
        self.done.append(booking)
        return await super().refund(account, booking)


Came = ExecutionResult | BaseException
"""What came of one call."""


@define
class Storm:
    """Everything that was told of the calls, from four sides; ``check`` holds them together."""

    registry: ServiceRegistry
    ledger: CountingLedger
    sink: MemorySink
    events: list[Event]
    used: dict[str, int] = field(factory=dict[str, int])

    @classmethod
    def over(cls, clock: Clock) -> "Storm":
        ledger, sink, events = CountingLedger(clock), MemorySink(), list[Event]()
        registry = ServiceRegistry(ledger, usage=sink, on_event=events.append, clock=clock)
        return cls(registry, ledger, sink, events)

    async def read_the_quotas(self) -> None:
        for name in self.registry.services:
            self.used[name] = sum(
                limit.used for limit in (await self.registry.quota_status(name)).limits
            )

    def told(self, kind: type) -> list:
        return [event for event in self.events if type(event) is kind]

    def check(self, outcomes: Mapping[str, Came]) -> Counter[str]:
        """outcomes: By prompt, each of which was asked once. Returns the processes by service."""
        self._each_call_has_one_outcome(outcomes)
        processes = [record for record in self.sink.records if not record.refused]
        self._each_attempt_has_one_end(len(processes))
        by_call = Counter(record.call for record in processes)
        refused = Counter(record.call for record in self.sink.records if record.refused)
        for finished in self.told(CallFinished):
            if isinstance(finished.error, LeylineError):
                assert (by_call[finished.call], refused[finished.call]) == (0, 1)
            else:
                assert refused[finished.call] == 0
            if finished.result is not None:
                assert by_call[finished.call] == finished.result.attempts
        by_service = Counter(record.service for record in processes)
        assert self.used == {name: by_service[name] for name in self.used}
        assert sorted(self.ledger.done) == sorted(self.ledger.booked)  # each once
        for name in self.registry.services:
            gate = self.registry._services.find(name).memory.gate
            assert gate is None or gate.limit.in_flight == 0
        return by_service

    def _each_call_has_one_outcome(self, outcomes: Mapping[str, Came]) -> None:
        started = [event.call for event in self.told(CallStarted)]
        finished = {event.call: event for event in self.told(CallFinished)}
        assert len(started) == len(set(started)) == len(outcomes)
        assert len(self.told(CallFinished)) == len(finished)
        assert set(started) == set(finished)
        told = {id(event.error or event.result) for event in finished.values()}
        for prompt, came in outcomes.items():
            if isinstance(came, ExecutionResult):
                assert came.success is (came.failure is None)
                assert not came.success or came.text == prompt  # nobody has another's answer
            if not isinstance(came, asyncio.CancelledError | TimeoutError):
                assert isinstance(came, ExecutionResult | LeylineError), repr(came)
                told.remove(id(came))  # the very same, once
        assert len(self.told(CallStarted)) >= len(told)

    def _each_attempt_has_one_end(self, processes: int) -> None:
        """Also each process has one record; what was cancelled has an error, and one too."""
        started = [event.id for event in self.told(AttemptStarted)]
        finished = self.told(AttemptFinished)
        assert len(set(started)) == len(started)
        assert sorted(event.id for event in finished) == sorted(started)
        ran = [event for event in finished if not isinstance(event.error, LeylineError)]
        assert processes == len(ran)


async def gather(calls: Mapping[str, object]) -> dict[str, Came]:
    """What comes of each, by its prompt."""
    came = await asyncio.gather(*calls.values(), return_exceptions=True)
    return dict(zip(calls, came, strict=True))


# --- In memory: thousands, in virtual time ---


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest):
    return "asyncio" if "live" in request.node.name else VIRTUAL_BACKEND


FAULTS: list[Outcome] = [
    *["crashed"] * 3,
    *["server", "empty"] * 2,
    "overloaded",
    "auth",
    "rate_limited",
    "quota_exhausted",
]


def faulty(asked: Asked) -> Outcome:
    """Three runs in ten go wrong by what the tool says, or never begin."""
    number = asked.rng.randrange(40)
    if number == 39:
        return SpawnError("tool", "the system refuses")
    return FAULTS[number] if number < len(FAULTS) else None


def slow(asked: Asked) -> float:
    """Some hang for ever, some take ten times as long."""
    return asked.rng.choice([1e9, 20.0, *[2.0] * 18]) * asked.rng.uniform(0.5, 1.0)


def fleet(registry: ServiceRegistry, seed: int) -> dict[str, ScriptedService]:
    found = {
        name: ScriptedService(
            name,
            failures=faulty if number else lambda _: "crashed",  # the first is down for good
            latency=slow,
            seed=seed + number,
            # One service in four has room for few calls: its quota refuses the others.
            quota_limits={"rpd": 15} if number % 4 == 3 else MUCH,
        )
        for number, name in enumerate(NAMES)
    }
    for service in found.values():
        service.register(registry)
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_every_call_of_a_storm_has_one_outcome_one_record_a_run_and_one_charge(seed: int):
    tasks = asyncio.all_tasks()
    storm = Storm.over(VIRTUAL_CLOCK)
    rng = Random(seed)
    async with storm.registry as registry:
        services = fleet(registry, 100 * seed)

        async def call(prompt: str) -> ExecutionResult:
            if rng.random() < 0.5:  # half at once, half while the first are under way
                await anyio.sleep(rng.uniform(0.0, 60.0))
            deadline = rng.choice([30.0, 300.0, 3000.0])
            return await registry.execute(rng.choice(NAMES), prompt, deadline=deadline)

        outcomes = await gather({prompt: call(prompt) for prompt in PROMPTS})
        await storm.read_the_quotas()
    by_service = storm.check(outcomes)
    for name, service in services.items():
        assert service.in_flight == 0
        never_began = [
            event
            for event in storm.told(AttemptFinished)
            if event.service == name and event.error is not None
        ]
        assert by_service[name] == service.runs - len(never_began)
    assert asyncio.all_tasks() == tasks
    kinds = Counter(type(came).__name__ for came in outcomes.values())
    answers = [came for came in outcomes.values() if getattr(came, "success", False)]
    print(dict(kinds), len(answers), "answers")
    assert len(answers) > 300
    assert {"QuotaExceededError", "ServiceUnavailableError"} <= set(kinds)


@pytest.mark.parametrize("seed", range(2))
async def test_callers_who_give_up_in_a_storm_leave_nothing_and_are_charged_once(seed: int):
    tasks = asyncio.all_tasks()
    storm = Storm.over(VIRTUAL_CLOCK)
    rng = Random(seed)
    async with storm.registry as registry:
        services = fleet(registry, 100 * seed)

        async def call(prompt: str) -> ExecutionResult:
            asked = registry.execute(rng.choice(NAMES), prompt, deadline=300.0)
            if rng.random() < 0.5:
                return await asked
            return await asyncio.wait_for(asked, rng.uniform(0.0, 30.0))

        outcomes = await gather({prompt: call(prompt) for prompt in PROMPTS})
        await anyio.sleep(1.0)  # what is settled behind those who gave up
        await storm.read_the_quotas()
    storm.check(outcomes)
    assert sum(isinstance(came, TimeoutError) for came in outcomes.values()) > 50
    assert FailureKind.CANCELLED in {record.failure for record in storm.sink.records}
    assert sum(service.in_flight for service in services.values()) == 0
    assert asyncio.all_tasks() == tasks


# --- Live processes ---

SCRIPT = """\
echo $$ >> $PIDS
read -r prompt
case "$prompt" in
  crash*) exit 3 ;;
  killed*) kill -9 $$ ;;
  hang*) sleep 600 & echo $! >> $CHILDREN; wait ;;
  stubborn*) trap "" TERM; sleep 600 & echo $! >> $CHILDREN; wait; wait ;;
  limited*) echo "{\\"error\\": {\\"message\\": \\"429\\", \\"retry_after\\": 0.2}}"; exit 1 ;;
  garbage*) head -c 3000 /dev/urandom; exit 0 ;;
  cut*) printf "{\\"answer\\": \\"no e"; exit 0 ;;
  slow*) sleep 0.5 ;;
esac
echo "{\\"answer\\": \\"$prompt\\"}"
"""
KINDS = ("crash", "killed", "hang", "stubborn", "limited", "garbage", "cut", "slow")
COMMON = {
    "timeout_seconds": 3.0,
    "grace_seconds": 0.2,
    "retry": RetryPolicy(attempts=2, base=0.01),
    "quota_limits": {**MUCH, "concurrent": 2},
}


def shell(name: str, folder: Path) -> ServiceConfig:
    script = folder / "tool.sh"
    script.write_text(SCRIPT)
    return ServiceConfig(
        name,
        "/bin/sh",
        preset="",
        command_template=f"{{command}} {script}",
        env={"PIDS": str(folder / name), "CHILDREN": str(folder / "children")},
        output=OutputConfig(
            format=OutputFormat.JSON,
            text="out.answer",
            error_message="out.error.message",
            retry_after="out.error.retry_after",
        ),
        error_patterns=(ErrorPattern(kind=FailureKind.RATE_LIMITED, match="429"),),
        **COMMON,
    )


def live_fleet(registry: ServiceRegistry, folder: Path, rng: Random) -> dict[str, ScriptedTool]:
    """Shell scripts, which go wrong as the prompt says; and four that go wrong by themselves."""
    tools = {
        name: ScriptedTool(
            folder=folder / name,
            latency=rng.choice([0.0, 0.1]),
            failures=tuple(rng.choices([None, "crashed", "overloaded", "auth"], k=100)),
            grandchildren=1,
            ignores_sigterm=rng.random() < 0.5,
        )
        for name in NAMES[:4]
    }
    for name, tool in tools.items():
        (folder / name).mkdir()
        registry.register(name, tool.config(**COMMON))
    for name in NAMES[4:-1]:
        registry.register(name, shell(name, folder))
    missing = ServiceConfig(NAMES[-1], "/nowhere/missing", preset="", **COMMON)
    registry.register(NAMES[-1], missing)
    return tools


@pytest.mark.timeout(300)
async def test_a_live_storm_has_one_record_a_process_and_leaves_none(tmp_path: Path):
    rng = Random(4)
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    storm = Storm.over(SYSTEM_CLOCK)
    async with storm.registry as registry:
        tools = live_fleet(registry, tmp_path, rng)
        # Half of the calls want an answer; the other half something else.
        kinds = [rng.choice(KINDS) if rng.random() < 0.5 else "answer" for _ in range(340)]
        outcomes = await gather(
            {
                prompt: registry.execute(rng.choice(NAMES), prompt, deadline=120.0)
                for prompt in (f"{kind} {number}" for number, kind in enumerate(kinds))
            }
        )
        with anyio.fail_after(30):
            while not registry._residence.own.runner.idle:
                await anyio.sleep(0.01)
        await storm.read_the_quotas()
        pids = {
            name: [run.pid for run in tools[name].runs()]
            if name in tools
            else [int(pid) for pid in lines(tmp_path / name)]
            for name in NAMES
        }
        children = [int(pid) for pid in lines(tmp_path / "children")]
        children += [
            pid for tool in tools.values() for run in tool.runs() for pid in run.grandchildren
        ]
        await until_dead([*children, *(pid for some in pids.values() for pid in some)])
    by_service = storm.check(outcomes)
    assert {name: len(found) for name, found in pids.items()} == {n: by_service[n] for n in NAMES}
    assert by_service[NAMES[-1]] == 0
    assert asyncio.all_tasks() == tasks
    assert open_descriptors() == descriptors
    for prompt, came in outcomes.items():
        if isinstance(came, ExecutionResult) and came.service not in tools:
            late = came.failure is not None and came.failure.kind is FailureKind.TIMEOUT
            able = prompt.split()[0] in {"answer", "slow"}
            assert came.success is able or late, (prompt, came)
    print(sum(by_service.values()), "processes,", len(children), "children;", by_service)
    print(Counter(type(came).__name__ for came in outcomes.values()))
    assert sum(by_service.values()) > 200


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
