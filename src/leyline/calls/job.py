"""One call on its way through the layers of one service, and how layers are put together."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from attrs import frozen

from leyline.calls.hearing import NOBODY, Audience
from leyline.model import BoundCall, ExecutionResult
from leyline.process import Lifespan
from leyline.usage import Prompt


@frozen(kw_only=True)
class Job:
    """What the layers of a call hand on to each other.

    call: As asked. text: The prompt with its files, as the tool gets it. model: What the tool is
        told; None: its own choice. prompt_tokens: As estimated.
    lifespan: Where the process runs, and where what is left to do ends up.
    queued_at: Unix time at which the caller asked.
    start_by, end_by: Monotonic seconds; the process has to have started, and ended. None: no limit.
    timeout: Seconds for the run. None: no limit.
    attempt: How often it was tried on this service, this time included.
    may_repeat: Whether it may be tried again here, as long as the layers are asked.
    fingerprint: What the book keeps of the prompt. None: there is no book.
    held: Descriptors that are handed to the process. audience: Who listens to what it writes.
    """

    call: BoundCall
    text: str
    model: str | None
    prompt_tokens: int
    lifespan: Lifespan
    secret_variables: frozenset[str]
    queued_at: float
    start_by: float | None
    end_by: float | None
    timeout: float | None
    attempt: int = 1
    held: tuple[int, ...] = ()
    fingerprint: Prompt | None = None
    audience: Audience = NOBODY
    may_repeat: Callable[[], bool] = lambda: True


Handler = Callable[[Job], Awaitable[ExecutionResult]]


class Layer(Protocol):
    """One concern of a call, around all that comes after it.

    name: What it is called in ``pipeline``.
    """

    name: str

    async def __call__(self, job: Job, proceed: Handler, /) -> ExecutionResult:
        """Do with *job* what this layer is for; *proceed* is the rest of the way."""
        ...


def compose(layers: Sequence[Layer], run: Handler) -> Handler:
    """One handler of *layers*, the outermost first, around *run*."""
    handler = run
    for layer in reversed(layers):
        handler = partial(_through, layer, handler)
    return handler


async def _through(layer: Layer, proceed: Handler, job: Job) -> ExecutionResult:
    return await layer(job, proceed)
