"""The answer of one call as it grows."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, field, frozen

from leyline.errors import RegistryClosedError
from leyline.model import ExecutionResult


@frozen
class TextDelta:
    """A piece of the answer, as soon as the tool has written it. Never empty."""

    text: str


@frozen
class Finished:
    """The tool has ended; the last event of a stream. result: As ``execute`` returns it."""

    result: ExecutionResult


StreamEvent = TextDelta | Finished
_Item = StreamEvent | BaseException


@define
class AnswerStream:
    """What a tool says, an event at a time; to be iterated once.

    Raises what ``execute`` raises, where no process ran; RuntimeError after its block, where the
    end was not reached in it. Where the tool cannot be seen writing, its answer is one piece. What
    the pieces say is not final: the result is.

    result: None until the end has been reached.
    """

    _items: MemoryObjectReceiveStream[_Item]
    result: ExecutionResult | None = field(default=None, init=False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self.result is not None:
            raise StopAsyncIteration
        try:
            item = await self._items.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
        except anyio.ClosedResourceError:
            words = "the stream has ended, as its block was left; iterate inside of it"
            raise RuntimeError(words) from None
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Finished):
            self.result = item.result
        return item


@asynccontextmanager
async def open_stream(
    start: Callable[[Callable[[str], None]], Awaitable[ExecutionResult]], group: TaskGroup
) -> AsyncGenerator[AnswerStream, None]:
    """A stream of what *start* tells the function that it is given, and then returns.

    It runs in *group*; leaving the block stops it, and nobody waits for its end.
    Raises RegistryClosedError if the group has ended.
    """
    send, receive = anyio.create_memory_object_stream[_Item](math.inf)
    scope = anyio.CancelScope()

    async def run() -> None:
        heard = False

        def hear(piece: str) -> None:
            nonlocal heard
            heard = True
            tell(TextDelta(piece))

        with scope, send:
            try:
                result = await start(hear)
            except Exception as error:
                tell(error)
            except BaseException:
                tell(RegistryClosedError())  # if it was stopped from here, nobody hears it
                raise
            else:
                if not heard and result.text:
                    tell(TextDelta(result.text))
                tell(Finished(result))

    def tell(item: _Item) -> None:
        if not scope.cancel_called:
            send.send_nowait(item)

    try:
        group.start_soon(run)
    except RuntimeError:
        send.close()
        receive.close()
        raise RegistryClosedError from None
    with receive:
        try:
            yield AnswerStream(receive)
        finally:
            scope.cancel()
