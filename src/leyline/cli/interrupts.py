"""Ctrl-C: whatever runs is stopped in order, once, and without a traceback."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def run_until_interrupted(fn: Callable[[], Awaitable[T]]) -> T:
    """Run *fn* in an event loop of its own; raises KeyboardInterrupt if an interrupt ended it.

    An interrupt cancels *fn* and waits for it. Further ones meanwhile change nothing: by default
    the second would tear down the event loop, and with it what stops the processes.
    """
    results: list[T] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for `… &` in a script
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, scope.cancel)
            results.append(await fn())

    anyio.run(main)
    if not results:
        raise KeyboardInterrupt
    return results[0]


def run_until_interrupted_twice(
    fn: Callable[[], Awaitable[T]], *, first: Callable[[], object]
) -> T:
    """As ``run_until_interrupted``, but the first interrupt only calls *first*, which is to make
    *fn* come to an end; the second ends it.
    """
    results: list[T] = []

    async def main() -> None:
        steps = iter((first,))

        def hear() -> None:
            next(steps, scope.cancel)()

        with anyio.CancelScope() as scope:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for `… &` in a script
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, hear)
            results.append(await fn())

    anyio.run(main)
    if not results:
        raise KeyboardInterrupt
    return results[0]
