"""However many calls there are, the same memory; none is lost, none comes twice."""

import gc
import os
from collections.abc import Iterator

from leyline import Call, FailureKind, ServiceRegistry
from leyline.testing import VIRTUAL_CLOCK, Asked, ScriptedService, run_virtual

COUNT = 20_000
POISON = COUNT // 2
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def calls(count: int) -> Iterator[Call]:
    """Each to the five services, beginning with another."""
    for number in range(count):
        services = tuple(f"s{(number + turn) % 5}" for turn in range(5))
        yield Call(prompt=f"prompt {number} " + "x" * 2000, services=services)


def outcome(asked: Asked) -> FailureKind | None:
    poisoned = asked.prompt.startswith(f"prompt {POISON} ")
    return FailureKind.CRASHED if poisoned else None


async def answer_all(registry: ServiceRegistry, count: int) -> list[int]:
    """How often each was answered, and minus once for each that failed."""
    seen = [0] * count
    async for item in registry.map(calls(count), concurrency=64):
        seen[item.index] += 1 if item.result.success else -1
    return seen


def test_memory_does_not_grow_with_the_number_of_calls():
    async def main() -> None:
        async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
            for number in range(5):
                ScriptedService(
                    f"s{number}",
                    latency=(0.1, 2.0),
                    failures=outcome,
                ).register(registry)
            await answer_all(registry, 1000)
            before = resident()
            seen = await answer_all(registry, COUNT)
            grown = resident() - before
        assert [index for index, count in enumerate(seen) if count != 1] == [POISON]
        assert seen[POISON] == -1
        assert grown < 12 * 2**20

    run_virtual(main)
