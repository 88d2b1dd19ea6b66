"""The layers of a call, in the one order in which they stand around it."""

from collections.abc import Callable
from random import Random

from attrs import frozen

from leyline.calls.bookkeeping import NO_BOOK, Bookkeeping
from leyline.calls.breaker import Breaker
from leyline.calls.breaking import Breaking
from leyline.calls.budget import Budget
from leyline.calls.concurrency import AdaptiveLimit, Gate
from leyline.calls.crowding import Crowding
from leyline.calls.job import Layer
from leyline.calls.metering import Meter, Metering
from leyline.calls.price import ObservedPrice
from leyline.calls.recording import Recording
from leyline.calls.retries import Retries
from leyline.calls.speed import Durations
from leyline.calls.timing import Timing
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.events import Events
from leyline.model import ExecutionResult
from leyline.quota import Store

_LEASE_SECONDS = 600.0
"""After so long the probe of a service whose runs have no limit is given up."""


@frozen(kw_only=True)
class Memory:
    """What is known of one service while it is registered, and shared by all its calls.

    budget, breaking, gate: None where the configuration has none.
    """

    durations: Durations
    price: ObservedPrice
    metering: Metering
    budget: Budget | None
    breaking: Breaking | None
    gate: Gate | None

    @classmethod
    def of(
        cls, config: ServiceConfig, store: Store, clock: Clock, events: Events, rng: Random
    ) -> "Memory":
        """Nothing yet, of a service just registered."""
        breaking = None
        if config.breaker is not None:
            lease = (config.timeout_seconds or _LEASE_SECONDS) + config.grace_seconds
            breaker = Breaker(config.breaker, rng=rng, lease=lease)
            breaking = Breaking(config.name, breaker, clock, events)
        return cls(
            durations=Durations(),
            price=ObservedPrice(),
            metering=Metering(config, Meter.of(config, store, clock, events), clock, events),
            budget=Budget(config.budget) if config.budget is not None else None,
            breaking=breaking,
            gate=None if config.concurrency is None else Gate(AdaptiveLimit(config.concurrency)),
        )


def layers(
    config: ServiceConfig,
    memory: Memory,
    clock: Clock,
    events: Events,
    rng: Random,
    *,
    observe: Callable[[ExecutionResult], None],
    book: Bookkeeping = NO_BOOK,
) -> tuple[Layer, ...]:
    """The layers of a service, the outermost first; those without a policy are absent.

    retry, breaker, concurrency, quota, record, time-out: a try that is refused by a breaker waits
    for no quota, each try books its own quota, and only what really ran is on the record.
    """
    found: list[Layer] = []
    if config.retry is not None and config.retry.attempts > 1:
        found.append(
            Retries(
                service=config.name,
                policy=config.retry,
                budget=memory.budget,
                idempotent=config.idempotent,
                clock=clock,
                events=events,
                rng=rng,
            )
        )
    if memory.breaking is not None:
        found.append(memory.breaking)
    if memory.gate is not None:
        found.append(Crowding(config.name, memory.gate, clock))
    record = Recording(
        service=config.name,
        events=events,
        observe=observe,
        clock=clock,
        durations=memory.durations,
        price=memory.price,
        book=book,
    )
    return (*found, memory.metering, record, Timing(clock))
