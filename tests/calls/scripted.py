"""A service whose runs are scripted in virtual time, behind the layers that every call has."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from random import Random
from types import TracebackType
from typing import Any, Self

import anyio
from attrs import define, field

from leyline.calls.job import Job, compose
from leyline.calls.pipeline import Memory, layers
from leyline.calls.run import Run
from leyline.calls.service import Service
from leyline.config import ServiceConfig
from leyline.errors import LeylineError
from leyline.events import Event, Events
from leyline.model import BoundCall, ExecutionResult, Failure, FailureKind, Usage
from leyline.process import Lifespan
from leyline.quota import Store
from tests.virtual import VIRTUAL_CLOCK

Outcome = FailureKind | Failure | LeylineError | None
"""What a run comes to: a failure, an error where nothing is started, None for a success."""

Tool = Callable[[Job], Awaitable[Outcome]]


def service(**fields: Any) -> ServiceConfig:
    """A service without quota and with the default policies."""
    return ServiceConfig("svc", "svc", preset="", command_template="{command}", **fields)


def script(outcomes: Iterable[Outcome], *, seconds: float = 1.0) -> Tool:
    """One run after the other, each of *seconds*; the last outcome again when all are used up."""
    left, last = iter(outcomes), None

    async def tool(_: Job) -> Outcome:
        nonlocal last
        last = next(left, last)
        if not isinstance(last, LeylineError):
            await anyio.sleep(seconds)
        return last

    return tool


@define(eq=False, kw_only=True)
class Scripted:
    """A service ready to be called, in ``async with``; *tool* stands where processes would run.

    started: When each run began. jobs: What each was handed. events: All that was told.
    most: Runs at once.
    """

    tool: Tool
    config: ServiceConfig = field(factory=service)
    seed: int = 1
    told: bool = True
    started: list[float] = field(factory=list[float], init=False)
    jobs: list[Job] = field(factory=list[Job], init=False)
    events: list[Event] = field(factory=list[Event], init=False)
    in_flight: int = field(default=0, init=False)
    most: int = field(default=0, init=False)
    store: Store = field(init=False)
    service: Service = field(init=False)
    _lifespan: Lifespan = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = Store.at(":memory:", VIRTUAL_CLOCK)
        events = Events(self.events.append if self.told else None)
        rng = Random(self.seed)
        memory = Memory.of(self.config, self.store, VIRTUAL_CLOCK, events, rng)
        found = layers(self.config, memory, VIRTUAL_CLOCK, events, rng, observe=lambda _: None)
        self.service = Service(
            config=self.config,
            memory=memory,
            pipeline=tuple(layer.name for layer in found),
            clock=VIRTUAL_CLOCK,
            run=Run.of(self.config, VIRTUAL_CLOCK),
            handler=compose(found, self.run),
        )

    async def __aenter__(self) -> Self:
        self._lifespan = Lifespan(VIRTUAL_CLOCK)
        await self._lifespan.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._lifespan.__aexit__(exc_type, exc, traceback)

    async def run(self, job: Job) -> ExecutionResult:
        """As a process would: ended when its time is up, and timed."""
        began = anyio.current_time()
        self.started.append(began)
        self.jobs.append(job)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        outcome: Outcome = FailureKind.TIMEOUT
        try:
            with anyio.move_on_after(job.timeout):
                outcome = await self.tool(job)
        finally:
            self.in_flight -= 1
        if isinstance(outcome, LeylineError):
            raise outcome
        if isinstance(outcome, FailureKind):
            outcome = Failure(kind=outcome, message=f"run {len(self.started)}")
        return ExecutionResult(
            success=outcome is None,
            failure=outcome,
            text="" if outcome else "answer",
            usage=Usage(),
            service=self.config.name,
            started_at=VIRTUAL_CLOCK.wall() - (anyio.current_time() - began),
            duration=anyio.current_time() - began,
        )

    async def call(
        self, *, may_repeat: Callable[[], bool] = lambda: True, **options: Any
    ) -> ExecutionResult:
        """As a registry calls: each start may be waited for as long as the run may take."""
        seconds = options.setdefault("timeout", self.config.timeout_seconds)
        options.setdefault("max_wait", options.get("deadline", seconds))
        return await self.service.execute(
            BoundCall(prompt="hello", **options),
            self._lifespan,
            secret_variables=(),
            queued_at=VIRTUAL_CLOCK.wall(),
            may_repeat=may_repeat,
        )

    async def outcome(self, **options: Any) -> ExecutionResult | LeylineError:
        """What comes of a call, an error included."""
        try:
            return await self.call(**options)
        except LeylineError as error:
            return error

    def told_of(self, kind: type[Event]) -> Iterator[Any]:
        """The events of one *kind*, in order."""
        return (event for event in self.events if isinstance(event, kind))
