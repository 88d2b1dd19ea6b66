"""A service in memory whose runs follow a script, behind every layer that a real one has.

Quotas, retries, breaker, failover and cancellation are the real ones; only where a process would
run, the script answers. In real time or in virtual time, 100,000 calls in seconds. ::

    from leyline import ServiceRegistry
    from leyline.testing import VIRTUAL_CLOCK, RateLimit, ScriptedService, run_virtual

    async def main():
        provider = ScriptedService(
            "provider",
            latency=(0.5, 2.0),                             # seconds, uniform
            failures={"overloaded": 0.05},                  # one run in twenty
            rate_limit=RateLimit(60, per=60.0),             # refuses what is more, as providers do
            text=lambda asked: asked.prompt.upper(),
            quota_limits={"rpm": 60},                       # and any other field of ServiceConfig
        )
        async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
            provider.register(registry)
            assert (await registry.execute("provider", "hello")).text == "HELLO"
        assert provider.refused == 0

    run_virtual(main)
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any, Final, cast

from attrs import define, field, frozen
from attrs.validators import gt

from leyline.calls import Handler, Job
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.errors import LeylineError, RegistryClosedError
from leyline.model import ExecutionResult, Failure, FailureKind, Usage
from leyline.service_registry import ServiceRegistry
from leyline.tokens import estimate_tokens

Outcome = Failure | FailureKind | str | LeylineError | None
"""What a run comes to: a failure or its kind, an error where nothing is started, None for an
answer."""


@frozen(kw_only=True)
class Asked:
    """One run, as its script sees it.

    number: How many runs began before it. attempt: How often this call was tried, now included.
    prompt: As a tool would get it, with the files. model: None where none was chosen.
    rng: The service's source of chance; the same seed, the same script.
    """

    number: int
    attempt: int
    prompt: str
    model: str | None
    rng: Random = field(repr=False)


@frozen
class RateLimit:
    """So many runs in any *per* seconds; more are refused, and not counted."""

    runs: int = field(validator=gt(0))
    per: float = field(default=60.0, validator=gt(0), kw_only=True)


class ScriptedService:
    """A service to be registered in a registry, which answers by its script.

    runs: How many began. refused: How many of them its own rate limit refused.
    in_flight: How many are under way. most: How many were at once.
    """

    def __init__(
        self,
        name: str,
        *,
        latency: float | tuple[float, float] | Callable[[Asked], float] = 0.0,
        text: str | Callable[[Asked], str] | None = None,
        failures: Mapping[str, float] | Iterable[Outcome] | Callable[[Asked], Outcome] = (),
        rate_limit: RateLimit | None = None,
        usage: Usage | Callable[[Asked, str], Usage] | None = None,
        pieces: int = 1,
        seed: int = 0,
        **config: Any,
    ) -> None:
        """latency: Seconds that a run takes: always, between two bounds, or by a function. Where
            it is more than the call's time-out, that is what comes of it.
        text: The answer; None: the prompt itself. A blank one is a failure, as of every tool.
        failures: Kinds with their probability; or what the runs come to, one after the other, and
            answers when all are used up; or a function.
        rate_limit: Its own, whatever the registry thinks: more than that come to
            ``rate_limited`` at once, with the seconds to wait.
        usage: What an answer is said to have used. None: by the length of prompt and answer.
        pieces: In how many an answer is streamed, spread over the latency.
        config: Fields of ``ServiceConfig``; by default it takes files and any model.

        What these functions raise, the call raises.
        """
        self.name = name
        fields: dict[str, Any] = {
            "command": sys.executable,  # for health checks: it is there
            "command_template": "{command} --model {model} {files}",
            "preset": "",
        }
        self.config = ServiceConfig(name, **(fields | config))
        self.rate_limit = rate_limit
        self.runs = 0
        self.refused = 0
        self.in_flight = 0
        self.most = 0
        self._rng = Random(seed)  # noqa: S311  (a script, nothing secret)
        self._latency = _seconds(latency)
        self._text = _text(text)
        self._outcome = _outcomes(failures)
        self._usage = _usage(usage)
        self._pieces = pieces
        self._granted: deque[float] = deque(maxlen=rate_limit.runs if rate_limit else 0)

    def register(self, registry: ServiceRegistry, *, replace: bool = False) -> None:
        """Register it under its name. Raises what ``ServiceRegistry.register`` does."""
        registry.register(self.name, self.config, replace=replace, run=self._run)

    def _run(self, config: ServiceConfig, clock: Clock) -> Handler:
        async def run(job: Job) -> ExecutionResult:
            if job.lifespan.runner.closed:
                raise RegistryClosedError
            asked = Asked(
                number=self.runs,
                attempt=job.attempt,
                prompt=job.text,
                model=job.model,
                rng=self._rng,
            )
            self.runs += 1
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
            started_at, began = clock.wall(), clock.monotonic()
            try:
                failure, text = await self._play(job, asked, clock)
            finally:
                self.in_flight -= 1
            usage = Usage() if failure is not None else self._usage(asked, text)
            return ExecutionResult(
                success=failure is None,
                stdout=text,
                exit_code=_exit_code(failure),
                duration=clock.monotonic() - began,
                tokens_used=usage.total_tokens,
                text=text,
                service=config.name,
                model=job.model,
                usage=usage,
                failure=failure,
                started_at=started_at,
                queued=max(0.0, started_at - job.queued_at),
            )

        return run

    async def _play(self, job: Job, asked: Asked, clock: Clock) -> tuple[Failure | None, str]:
        """Why it failed, if it did, and its answer, when the time for it has passed."""
        if (refusal := self._refuse(clock.monotonic())) is not None:
            await clock.sleep(0)
            return refusal, ""
        outcome = self._outcome(asked)
        if isinstance(outcome, LeylineError):
            raise outcome
        failure = _failure(outcome)
        seconds = self._latency(asked)
        text = "" if failure is not None else self._text(asked)
        if failure is None and not text.strip():
            failure = Failure(kind=FailureKind.EMPTY, message="the script's answer is blank")
        if job.timeout is not None and seconds > job.timeout:
            await self._say(job, text, clock, seconds, until=job.timeout)
            message = f"stopped after its time-out of {job.timeout:g} s"
            return Failure(kind=FailureKind.TIMEOUT, message=message), ""
        await self._say(job, text, clock, seconds, until=seconds)
        return failure, text

    async def _say(
        self, job: Job, text: str, clock: Clock, seconds: float, *, until: float
    ) -> None:
        """Let the time *until* pass, of *seconds*, and say what is said in it."""
        hear, count = job.audience.hear, self._pieces
        if hear is None or count < 2:
            await clock.sleep(until)
            if hear is not None and text and until >= seconds:
                hear(text)
            return
        passed = 0.0
        for number in range(count):
            due = seconds * (number + 1) / count
            if until < min(seconds, due):
                break
            await clock.sleep(due - passed)
            passed = due
            if piece := text[len(text) * number // count : len(text) * (number + 1) // count]:
                hear(piece)
        await clock.sleep(max(0.0, until - passed))

    def _refuse(self, now: float) -> Failure | None:
        """Refuse a run that is one too many; count any other."""
        limit, granted = self.rate_limit, self._granted
        if limit is None:
            return None
        while granted and granted[0] <= now - limit.per:
            granted.popleft()
        if len(granted) < limit.runs:
            granted.append(now)
            return None
        self.refused += 1
        return Failure(
            kind=FailureKind.RATE_LIMITED,
            message=f"429: more than {limit.runs} in {limit.per:g} s",
            retry_after=granted[0] + limit.per - now,
        )


@define
class _Once:
    """One outcome after the other; none is a failure when all are used up."""

    left: Iterator[Outcome]

    def __call__(self, _: Asked) -> Outcome:
        return next(self.left, None)


_STOPPED: Final = frozenset({FailureKind.TIMEOUT, FailureKind.CANCELLED})


def _exit_code(failure: Failure | None) -> int:
    if failure is None:
        return 0
    return -1 if failure.kind in _STOPPED else 1


def _seconds(
    latency: float | tuple[float, float] | Callable[[Asked], float],
) -> Callable[[Asked], float]:
    if callable(latency):
        return latency
    if isinstance(latency, tuple):
        low, high = latency
        return lambda asked: asked.rng.uniform(low, high)
    return lambda _: latency


def _text(text: str | Callable[[Asked], str] | None) -> Callable[[Asked], str]:
    if text is None:
        return lambda asked: asked.prompt
    return text if callable(text) else lambda _: text


def _outcomes(
    failures: Mapping[str, float] | Iterable[Outcome] | Callable[[Asked], Outcome],
) -> Callable[[Asked], Outcome]:
    if callable(failures):
        return failures
    if not isinstance(failures, Mapping):
        return _Once(iter(failures))
    given = cast("Mapping[str, float]", failures)
    chances = {FailureKind(kind): chance for kind, chance in given.items()}

    def draw(asked: Asked) -> Outcome:
        rest = asked.rng.random()
        for kind, chance in chances.items():
            rest -= chance
            if rest < 0:
                return kind
        return None

    return draw if chances else lambda _: None


def _failure(outcome: Failure | FailureKind | str | None) -> Failure | None:
    if outcome is None or isinstance(outcome, Failure):
        return outcome
    return Failure(kind=FailureKind(outcome), message="as scripted")


def _usage(
    usage: Usage | Callable[[Asked, str], Usage] | None,
) -> Callable[[Asked, str], Usage]:
    if usage is None:
        return _estimated
    return usage if callable(usage) else lambda _, __: usage


def _estimated(asked: Asked, text: str) -> Usage:
    given, said = estimate_tokens(asked.prompt), estimate_tokens(text)
    return Usage(input_tokens=given, output_tokens=said, total_tokens=given + said, measured=True)
