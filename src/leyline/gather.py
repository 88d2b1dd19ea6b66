"""Several things at the same time."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import anyio

K = TypeVar("K")
T = TypeVar("T")


async def gather(
    jobs: Mapping[K, Callable[[], Awaitable[T]]],
    *,
    enough: Callable[[Mapping[K, T]], bool] | None = None,
) -> dict[K, T]:
    """Run all *jobs* at the same time; what each returned, in their order.

    enough: Asked after each; once it is true, the others are cancelled and left out.
    The first exception ends the others and is raised as itself. Cancellation cancels all.
    """
    results: dict[K, T] = {}
    errors: list[Exception] = []

    async def run(key: K, job: Callable[[], Awaitable[T]]) -> None:
        try:
            results[key] = await job()
            if enough is not None and enough(results):
                group.cancel_scope.cancel()
        except Exception as error:
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for key, job in jobs.items():
            group.start_soon(run, key, job)
    if errors:
        raise errors[0]
    return {key: results[key] for key in jobs if key in results}
