"""Services as selection sees them: what is known of each at one moment. Asks nobody."""

from collections.abc import Iterable

from leyline.calls import Checkup, Service
from leyline.routing.candidate import Candidate
from leyline.usage import price_per_million


def candidates(
    services: Iterable[Service],
    checkup: Checkup,
    *,
    monotonic: float,
    speeds: bool = True,
    prices: str | bool = False,
) -> list[Candidate]:
    """A snapshot of each of *services*, in their order.

    speeds: Whether anybody wants to know how fast they are; it takes as long as all the rest.
    prices: Whether to look up what no tool has told yet, which loads a list; or for which model.
    """
    return [
        _candidate(service, checkup, order, monotonic, speeds=speeds, prices=prices)
        for order, service in enumerate(services)
    ]


def _candidate(
    service: Service,
    checkup: Checkup,
    order: int,
    now: float,
    *,
    speeds: bool,
    prices: str | bool,
) -> Candidate:
    config, memory = service.config, service.memory
    report = checkup.report(config.name)
    quota = service.meter and service.meter.admission.outlook
    breaker = memory.breaking and memory.breaking.breaker.snapshot(now)
    return Candidate(
        name=config.name,
        order=order,
        models=config.models,
        max_context=config.max_context,
        supports_files=config.supports_files,
        supports_streaming=config.supports_streaming,
        code_execution=config.code_execution,
        health=report.status,
        health_reason=report.reason,
        installed=report.installed,
        breaker_open_for=max(0.0, breaker.until - now) if breaker else 0.0,
        breaker_reason=breaker.reason if breaker else "",
        quota_left=quota.left() if quota else 1.0,
        quota_free_in=quota.free_in() if quota else 0.0,
        speed=memory.durations.quantile(0.5, now) if speeds else None,
        price=_price(service, prices),
        weight=config.weight,
    )


def _price(service: Service, prices: str | bool) -> float | None:
    """As its tool told, else as listed for the model that it would use."""
    told = service.memory.price.per_million
    if told is not None or not prices:
        return told
    model = prices if isinstance(prices, str) else service.config.default_model
    return price_per_million(model or next(iter(service.config.models), None))
