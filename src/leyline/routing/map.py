"""Many calls at once from an endless source, each result as it comes, in bounded memory."""

import math
import uuid
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import aclosing, suppress
from typing import Any, Final, Generic, TypeVar, cast
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from attrs import define, evolve, field, frozen

from leyline.calls import Call
from leyline.clock import Clock
from leyline.errors import (
    NOT_ACCEPTED,
    AllServicesFailedError,
    LeylineError,
    RegistryClosedError,
    RejectedError,
)
from leyline.model import ExecutionResult, Failure, FailureKind
from leyline.routing.fan_out import refused

T = TypeVar("T")
R = TypeVar("R")

_AHEAD: Final = 4
"""How many times the concurrency may be done and wait for an earlier one, in order."""


def requests(
    source: Iterable[str | Call] | AsyncIterable[str | Call], clock: Clock
) -> AsyncGenerator[Call, None]:
    """What is to be asked, an item at a time; the rest of *source* is left where it is.

    Raises TypeError, at once, if *source* holds no items, and where one of them cannot be asked.
    """
    given: Any = source  # which need not be what it is declared to be
    if isinstance(given, str | bytes | bytearray | Call):
        raise TypeError(f"what is mapped is one {type(given).__name__}; put it into a list")
    if not isinstance(given, Iterable | AsyncIterable):
        raise TypeError(f"what is mapped has to be iterable; got a {type(given).__name__}")
    return _requests(source, clock)


async def _requests(
    source: Iterable[str | Call] | AsyncIterable[str | Call], clock: Clock
) -> AsyncGenerator[Call, None]:
    index = 0
    known = WeakValueDictionary[str, Call]()  # the calls by their ids, as long as they are there
    async with aclosing(_each(source)) as items:
        async for item in items:
            call = _request(index, item, clock)
            if call.id in known:  # the same call again, or a copy of it; events are of one
                call = evolve(call, id=uuid.uuid4().hex)
            known[call.id] = call
            yield call
            index += 1


async def map_calls(
    items: AsyncGenerator[T, None],
    answer: Callable[[int, T], Awaitable[R]],
    *,
    group: TaskGroup,
    concurrency: int,
    ordered: bool,
) -> AsyncGenerator[R, None]:
    """What *answer* makes of each of *items* (with its index from 0), as it is done.

    At most *concurrency* are under way, and an item is taken only when it can begin, so memory
    does not depend on how many there are. ordered: In the order of the items instead; one that
    takes long then holds up the others when four times *concurrency* have been taken.

    It runs in *group*. Leaving the loop stops what is under way, and closes *items*. Where these
    raise, what had begun is given first, then that is raised; where *answer* does, what was done.
    Raises RegistryClosedError if the group ends.
    """
    # Each result waits for the consumer with its place taken: so nothing piles up.
    places = concurrency * _AHEAD if ordered else concurrency
    send, receive = anyio.create_memory_object_stream[tuple[int, R]](math.inf)
    run = _Map(items, answer, send, concurrency, anyio.Semaphore(places))
    try:
        group.start_soon(run.main)
    except RuntimeError:
        raise RegistryClosedError from None
    waiting: dict[int, R] = {}
    following = 0
    try:
        with receive:
            async for index, result in receive:
                if not ordered:
                    run.places.release()
                    yield result
                    continue
                waiting[index] = result
                while following in waiting:
                    run.places.release()
                    yield waiting.pop(following)
                    following += 1
        if run.error is not None:
            raise run.error
    finally:
        run.scope.cancel()


@frozen(kw_only=True)
class Mapped:
    """What became of one item. index: Its place in the source, from 0. call: What was asked.

    result: Always there; where no service answered, its failure is the last one's, and where none
        was accepted, it is no success and has the last text.
    error: Why no service answered, each with its reason. None: one did.
    """

    index: int
    call: Call
    result: ExecutionResult
    error: LeylineError | None = None


async def mapped(index: int, call: Call, ask: Callable[[], Awaitable[ExecutionResult]]) -> Mapped:
    """What came of one item; also where nobody answered it. Raises RegistryClosedError."""
    try:
        result = await ask()
    except RegistryClosedError:
        raise
    except LeylineError as error:
        return _unanswered(index, call, error)
    return Mapped(index=index, call=call, result=result)


def _unanswered(index: int, call: Call, error: LeylineError) -> Mapped:
    """An item that nobody answered: the last that ran is its result, if any did."""
    attempts = error.attempts if isinstance(error, AllServicesFailedError) else ()
    result = refused("", error)
    for attempt in attempts:
        if isinstance(attempt, ExecutionResult):
            result = _unaccepted(attempt) if attempt.success else attempt
        elif result.attempts == 0:
            result = refused(attempt.service if isinstance(attempt, RejectedError) else "", attempt)
    return Mapped(index=index, call=call, result=result, error=error)


def _unaccepted(result: ExecutionResult) -> ExecutionResult:
    failure = Failure(kind=FailureKind.EMPTY, message=NOT_ACCEPTED)
    return evolve(result, success=False, failure=failure)


@define(eq=False)
class _Map(Generic[T, R]):
    """error: Why it ended before its source did; None: it did not."""

    items: AsyncGenerator[T, None]
    answer: Callable[[int, T], Awaitable[R]]
    send: MemoryObjectSendStream[tuple[int, R]]
    concurrency: int
    places: anyio.Semaphore
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    error: Exception | None = field(factory=RegistryClosedError)
    _turn: anyio.Lock = field(factory=anyio.Lock)
    _workers: int = 0
    _taken: int = 0
    _exhausted: bool = False
    _broken: Exception | None = None

    async def main(self) -> None:
        """Answer all; whatever happens ends as ``error``, never in the group."""
        with self.scope, self.send:
            try:
                async with aclosing(self.items), anyio.create_task_group() as workers:
                    await self._work(workers)
                self.error = self._broken
            except* Exception as errors:
                self.error = _first(errors)

    async def _work(self, workers: TaskGroup) -> None:
        """One after another, until there are no more; with one more worker for each that began."""
        self._workers += 1
        while True:
            async with self._turn:
                taken = await self._take()
            if taken is None:
                return
            if self._workers < self.concurrency:
                workers.start_soon(self._work, workers)
            index, item = taken
            result = await self.answer(index, item)
            with suppress(anyio.BrokenResourceError):  # the consumer has left
                self.send.send_nowait((index, result))

    async def _take(self) -> tuple[int, T] | None:
        if self._exhausted:
            return None
        await self.places.acquire()
        try:
            item = await anext(self.items)
        except StopAsyncIteration:
            self._exhausted = True
            return None
        except Exception as error:
            self._exhausted, self._broken = True, error
            return None
        self._taken += 1
        return self._taken - 1, item


def _first(error: BaseException) -> Exception:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return cast("Exception", error)


async def _each(source: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


def _request(index: int, item: object, clock: Clock) -> Call:
    """What is to be asked. Raises TypeError."""
    if isinstance(item, str):
        return Call(prompt=item, asked_at=clock.wall())
    if isinstance(item, Call):
        return item
    raise TypeError(
        f"item {index} of what is mapped is of type {type(item).__name__}; each has to be a prompt "
        "(str) or a Call"
    )
