"""A service made ready when it is registered, and calls on it."""

from collections.abc import Callable, Collection
from random import Random

from attrs import define

from leyline.calls import prompt as prompts
from leyline.calls.bookkeeping import NO_BOOK, Bookkeeping
from leyline.calls.hearing import NOBODY, Audience
from leyline.calls.job import Handler, Job, compose
from leyline.calls.metering import Meter
from leyline.calls.pipeline import Memory, layers
from leyline.calls.run import Run
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.events import Events
from leyline.model import BoundCall, Completed, ExecutionResult
from leyline.process import Lifespan, Runner
from leyline.quota import Store

RunFactory = Callable[[ServiceConfig, Clock], Handler]
"""Makes the innermost step of a service's calls, of its configuration and the registry's clock."""


@define(eq=False, kw_only=True)
class Service:
    """One service. Nothing is parsed again when it is called.

    memory: What is known of it. pipeline: What its calls go through, the outermost first.
    """

    config: ServiceConfig
    memory: Memory
    pipeline: tuple[str, ...]
    clock: Clock
    run: Run
    handler: Handler
    book: Bookkeeping = NO_BOOK

    @classmethod
    def prepare(
        cls,
        config: ServiceConfig,
        store: Store,
        clock: Clock,
        events: Events,
        observe: Callable[["Service", ExecutionResult], None],
        *,
        book: Bookkeeping = NO_BOOK,
        run: RunFactory | None = None,
    ) -> "Service":
        """Make a resolved *config* ready; its quota is kept in *store*, which is not opened yet.

        observe: Told of the result of every run. book: Where they are written down. run: Makes
        what answers in place of a process.
        Raises ConfigError if the template is wrong.
        """

        def tell(result: ExecutionResult) -> None:
            observe(service, result)

        rng = Random()  # noqa: S311  (spreads retries; nothing secret)
        memory = Memory.of(config, store, clock, events, rng)
        found = layers(
            config,
            memory,
            clock,
            events,
            rng,
            observe=tell,
            book=book,
        )
        process = Run.of(config, clock)
        service = cls(
            config=config,
            memory=memory,
            pipeline=(*(layer.name for layer in found), "run"),
            clock=clock,
            run=process,
            handler=compose(found, process if run is None else run(config, clock)),
            book=book,
        )
        return service

    @property
    def meter(self) -> Meter | None:
        """Its quota. None as long as nothing limits it."""
        return self.memory.metering.meter

    def restore(self) -> None:
        """Its command is there: a breaker that was disabled lets calls go again."""
        if self.memory.breaking is not None:
            self.memory.breaking.restore()

    async def execute(
        self,
        call: BoundCall,
        lifespan: Lifespan,
        *,
        secret_variables: Collection[str],
        queued_at: float,
        may_repeat: Callable[[], bool] = lambda: True,
        audience: Audience = NOBODY,
        counted: bool = True,
    ) -> ExecutionResult:
        """Send *call* through the layers, and say what came of it.

        secret_variables: The variables that hold the keys of all registered services.
        queued_at: Unix time at which the caller asked. may_repeat: Asked before each retry.
        audience: Who listens to what the tool writes. counted: It is a caller's call, not one
        beside it that was paid for.

        Cancellation: the process tree is stopped behind the caller.
        Raises InvalidCallError, RejectedError or LedgerError where no process started.
        """
        prompts.check(self.config, call, takes_files=self.run.template.takes_files)
        now = self.clock.monotonic()
        if counted and self.memory.budget is not None:
            self.memory.budget.note(now)
        # What the template has no place for, the tool never hears of.
        named = self.run.template.takes_model
        job = Job(
            call=call,
            text=prompts.compose(self.config, call),
            model=(call.model or self.config.default_model or None) if named else None,
            prompt_tokens=prompts.estimate(call),
            lifespan=lifespan,
            secret_variables=frozenset(secret_variables),
            queued_at=queued_at,
            start_by=None if call.max_wait is None else now + call.max_wait,
            end_by=None if call.deadline is None else now + call.deadline,
            timeout=call.timeout,
            fingerprint=self.book.fingerprint(call),
            may_repeat=may_repeat,
            audience=audience,
        )
        return await self.handler(job)

    async def run_check(
        self,
        argv: tuple[str, ...],
        runner: Runner,
        *,
        timeout: float,
        secret_variables: Collection[str],
    ) -> Completed:
        """Run a command of this service's health check, in the service's environment."""
        return await self.run.check(
            argv, runner, timeout=timeout, secret_variables=secret_variables
        )
