"""Many prompts through a fleet, as fast as all its quotas together allow.

    python examples/batch.py 200

Runs offline, in virtual time: the services are scripted in memory, and an hour passes at once.
With services of your own and without ``run_virtual`` and ``VIRTUAL_CLOCK`` it is the real thing.
"""

import sys
from collections import Counter
from collections.abc import Iterator

import anyio

from leyline import ServiceRegistry
from leyline.testing import VIRTUAL_CLOCK, Asked, RateLimit, ScriptedService, run_virtual


def prompts(count: int) -> Iterator[str]:
    """Read as they are needed; a file of millions would be no different."""
    for number in range(count):
        yield f"Summarise document {number}."


def outcome(asked: Asked) -> str | None:
    """One document is poison to every service."""
    return "bad_request" if "document 13." in asked.prompt else None


def fleet() -> list[ScriptedService]:
    """Three services with a quota each; the last one also fails now and then."""
    return [
        ScriptedService(
            name,
            latency=(1.0, 8.0),
            failures=outcome,
            rate_limit=RateLimit(rpm),  # what the provider really allows
            quota_limits={"rpm": rpm},  # what leyline was told
        )
        for name, rpm in (("small", 6), ("medium", 30), ("large", 60))
    ]


async def main(count: int) -> None:
    """Answer all of them, and say who did."""
    services, answered = fleet(), Counter[str]()
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        for service in services:
            service.register(registry)
        async for item in registry.map(prompts(count), concurrency=64):
            if item.result.success:
                answered[item.result.service] += 1
            else:
                print(f"failed: {item.call.prompt} ({item.error})")
    print(f"{answered.total()} of {count} in {anyio.current_time() / 60:.1f} minutes:")
    for service in services:
        print(f"{service.name:8} {answered[service.name]:5}  refused {service.refused}")


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    run_virtual(lambda: main(total))
