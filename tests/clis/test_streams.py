"""What the real tools tell while they run: their answer as it grows, and that they were refused."""

import os
import time
from collections.abc import Callable

import anyio
import pytest
from attrs import define, field

from leyline.clock import SYSTEM_CLOCK
from leyline.config import ServiceConfig
from leyline.model import Command, Failure, FailureKind, StopReason
from leyline.outcome import Outcome, OutcomeReader, RetryWatch, StreamReader
from leyline.process import MARKER, Lifespan, child_environment
from leyline.program import find_program
from leyline.services import resolve
from leyline.template import CommandTemplate
from tests.clis.conftest import Ask
from tests.clis.homes import MODELS, let_it_retry
from tests.clis.provider_answers import halves
from tests.clis.provider_api import USAGE, Mode, ProviderApi

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

K = FailureKind
ANSWER = "Erstens: äöü, 日本語.\n\n  Zweitens \N{GRINNING FACE}, und noch ein Satz am Ende."
TELLS_PIECES = [name for name in MODELS if name != "codex"]


@define
class Hearer:
    """Keeps what a streamed run tells. gives_up: At the first notice of a retry."""

    reader: StreamReader
    watch: RetryWatch
    gives_up: bool = False
    pieces: list[str] = field(factory=list)
    notice: Failure | None = None
    changed: anyio.Event = field(factory=anyio.Event)

    def stdout(self, data: bytes) -> bool:
        self.pieces += self.reader.feed(data)
        if self.pieces:
            self.changed.set()
        return self._noticed(self.watch.stdout, data)

    def stderr(self, data: bytes) -> bool:
        return self._noticed(self.watch.stderr, data)

    def _noticed(self, watch: Callable[..., Failure | None], data: bytes) -> bool:
        self.notice = watch(data, now=time.time()) or self.notice
        return self.gives_up and self.notice is not None


@define
class Streamed:
    """A streamed run of a real tool, with the preset that leyline ships for it."""

    ask: Ask
    name: str
    hearer: Hearer
    config: ServiceConfig
    stopped: StopReason | None = None

    @classmethod
    def of(cls, ask: Ask, name: str, *, gives_up: bool = False, **env: str) -> "Streamed":
        ask.prepare(name)
        config = resolve(ServiceConfig(name, name, env=env)).streamed()
        return cls(ask, name, Hearer(StreamReader(config), RetryWatch(config), gives_up), config)

    async def run(self) -> Outcome:
        async with Lifespan(SYSTEM_CLOCK) as lifespan:
            workspace = lifespan.runner.workspace("svc")
            values = {**self.config.env, MARKER: workspace.marker}
            environment = child_environment(
                os.environ, hidden=(), tmpdir=workspace.tmpdir, values=values
            )
            program, *arguments = CommandTemplate.parse(self.config.command_template).fill(
                self.name,
                command=self.config.command,
                model=MODELS[self.name],
                tmpdir=workspace.tmpdir,
            )
            command = Command(
                argv=(find_program(self.name, program), *arguments),
                stdin=b"Hello",
                env=environment,
                tmpdir=workspace.tmpdir,
                cwd=str(self.ask.home),
                timeout=60.0,
            )
            completed = await lifespan.runner.run(
                self.name, workspace, command, listener=self.hearer
            )
        self.hearer.pieces += self.hearer.reader.finish()
        self.stopped = completed.stopped
        reader = OutcomeReader(self.config)
        return reader.read(completed, prompt="Hello", model=None, now=time.time())


@pytest.mark.parametrize("name", TELLS_PIECES)
async def test_an_answer_is_seen_growing(ask: Ask, provider: ProviderApi, name: str):
    """The provider keeps the second half to itself until the first has been heard."""
    provider.answer = ANSWER
    provider.go_on.clear()
    streamed = Streamed.of(ask, name)
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append(await streamed.run())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(60):
            await streamed.hearer.changed.wait()
        assert "".join(streamed.hearer.pieces).strip() == halves(ANSWER)[0].strip()
        provider.go_on.set()
    (outcome,) = outcomes
    assert outcome.failure is None
    assert len(streamed.hearer.pieces) >= 2
    assert "".join(streamed.hearer.pieces) == outcome.text == ANSWER
    assert outcome.usage.measured is (name != "llm")
    if outcome.usage.measured:
        assert outcome.usage.total_tokens == USAGE.total_tokens
        assert outcome.model == MODELS[name]


async def test_codex_tells_its_answer_whole(ask: Ask, provider: ProviderApi):
    provider.answer = ANSWER
    streamed = Streamed.of(ask, "codex")
    outcome = await streamed.run()
    assert streamed.hearer.pieces == [outcome.text] == [ANSWER]


@pytest.mark.parametrize("name", MODELS)
async def test_a_refusal_is_no_piece_of_an_answer(ask: Ask, provider: ProviderApi, name: str):
    provider.mode = Mode.BAD_KEY
    streamed = Streamed.of(ask, name)
    outcome = await streamed.run()
    assert outcome.failure
    assert (outcome.failure.kind, streamed.hearer.pieces) == (K.AUTH, [])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (Mode.RATE_LIMIT, K.RATE_LIMITED),
        (Mode.DAILY_QUOTA, K.QUOTA_EXHAUSTED),
        (Mode.OVERLOADED, K.OVERLOADED),
        (Mode.SERVER_ERROR, K.SERVER),
        (Mode.NO_MODEL, K.MODEL_NOT_FOUND),
        (Mode.TOO_LONG, K.CONTEXT_TOO_LONG),
        (Mode.CUT, K.NETWORK),
    ],
)
async def test_what_gemini_says_of_a_refusal_in_a_stream_is_understood(
    ask: Ask, provider: ProviderApi, mode: Mode, kind: FailureKind
):
    provider.mode = mode
    outcome = await Streamed.of(ask, "gemini").run()
    assert outcome.failure
    assert outcome.failure.kind is kind, outcome.failure


@pytest.mark.parametrize(
    ("name", "mode", "told"),
    [
        ("gemini", Mode.RATE_LIMIT, (K.RATE_LIMITED, 3)),
        ("gemini", Mode.OVERLOADED, (K.OVERLOADED, None)),
        ("gemini", Mode.SERVER_ERROR, (K.SERVER, None)),
        ("gemini", Mode.DROP, (K.NETWORK, None)),
        ("claude", Mode.RATE_LIMIT, (K.RATE_LIMITED, None)),
        ("claude", Mode.OVERLOADED, (K.OVERLOADED, None)),
        ("claude", Mode.BAD_KEY, (K.AUTH, None)),
        ("claude", Mode.DROP, (K.NETWORK, None)),
        ("codex", Mode.RATE_LIMIT, (K.RATE_LIMITED, None)),
        ("codex", Mode.OVERLOADED, (K.OVERLOADED, None)),
        ("codex", Mode.BAD_KEY, (K.AUTH, None)),
        ("codex", Mode.DROP, (K.NETWORK, None)),
    ],
)
async def test_a_tool_that_tries_again_by_itself_is_given_up_at_once(
    ask: Ask,
    provider: ProviderApi,
    name: str,
    mode: Mode,
    told: tuple[FailureKind, float | None],
):
    """Left alone, each would go on for minutes, or until its time-out."""
    provider.mode, provider.retry_after = mode, 3
    streamed = Streamed.of(ask, name, gives_up=True, CLAUDE_CODE_MAX_RETRIES="10")
    let_it_retry(name, ask.home)
    outcome = await streamed.run()
    assert streamed.stopped is StopReason.GIVEN_UP
    assert outcome.failure
    assert outcome.failure == streamed.hearer.notice
    assert (outcome.failure.kind, outcome.failure.retry_after) == told
