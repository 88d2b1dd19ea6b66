"""From what a process left behind to an answer or a failure, in one fixed order.

Our own stop, then what the tool itself says of the run, then the messages that the preset names,
then the exit code; and an answer that is blank is no answer.
"""

import signal
from collections.abc import Collection
from typing import Final

from attrs import evolve, field, frozen

from leyline.config import OutputFormat, ServiceConfig, Stream
from leyline.model import Completed, Failure, FailureKind, StopReason, Usage
from leyline.outcome.classification import LIMITED, Classifier, Evidence, Verdict
from leyline.outcome.document import Document, read_document
from leyline.outcome.expressions import Expressions
from leyline.outcome.notices import Notices
from leyline.outcome.waiting import find_waiting, read_waiting
from leyline.redaction import redact
from leyline.tokens import estimate_tokens
from leyline.wording import STATUS_LOST, last_lines, one_line

_LONGEST: Final = 500
"""Characters of a message."""

_TELLING: Final = ("text", "succeeded", "failed", "error_message", "error_status", "error_code")
"""What finds something in the output of every run that is written as the preset says."""


@frozen(kw_only=True)
class Outcome:
    """What a run meant.

    text: The answer; empty unless the run succeeded. model: Who answered, as far as known.
    failure: Why it did not succeed; None if it did.
    stdout, stderr: Decoded, secrets removed.
    """

    text: str = field(repr=False)
    model: str | None
    usage: Usage
    failure: Failure | None
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


@frozen
class _Run:
    """One run while it is read."""

    completed: Completed
    stdout: str
    stderr: str
    document: Document
    expressions: Expressions
    now: float


class OutcomeReader:
    """Reads the outcomes of one service. Made once at its registration; holds no state.

    config: Of streamed runs, what ``ServiceConfig.streamed`` gives.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self._format = config.output.format
        self._expressions = Expressions.compile(config.output)
        self._classifier = Classifier.compile(config.error_patterns, config.exit_codes)
        self._notices = Notices(config.retry_notices)

    def read(
        self,
        completed: Completed,
        *,
        prompt: str,
        model: str | None,
        now: float,
        secrets: Collection[str] = (),
    ) -> Outcome:
        """What *completed* meant. Never raises, whatever the tool wrote.

        prompt: As it was sent; for the estimate where the tool reports no tokens.
        model: As it was asked for. now: Unix time at which the run ended.
        secrets: Values that must not reach the outcome.
        """
        stdout = _decode(completed.stdout, secrets)
        stderr = _decode(completed.stderr, secrets)
        files = {name: _decode(content, secrets) for name, content in completed.files.items()}
        document = read_document(stdout, stderr, files, self._format)
        expressions = self._expressions
        if self._format is OutputFormat.AUTO and not self._fits(document):
            document = read_document(stdout, stderr, files, OutputFormat.TEXT)
            expressions = Expressions({})
        run = _Run(completed, stdout, stderr, document, expressions, now)
        text = self._text(run)
        failure = self._stopped(run) or self._failed(run) or self._unanswered(run, text)
        answer = text if failure is None else ""
        reported = expressions.text("model", document.root)
        return Outcome(
            text=answer,
            model=reported or model,
            usage=self._usage(run, prompt, answer, failure),
            failure=failure,
            stdout=stdout,
            stderr=stderr,
        )

    def _fits(self, document: Document) -> bool:
        """Whether *document* is what the tool writes, rather than an answer that is JSON."""
        return not document.is_text and any(
            self._expressions.value(name, document.root) not in (None, False, "", [])
            for name in _TELLING
        )

    def _text(self, run: _Run) -> str:
        if run.document.is_text or "text" not in run.expressions:
            return run.stdout.rstrip()
        return run.expressions.text("text", run.document.root)

    def _stopped(self, run: _Run) -> Failure | None:
        """We ended it: whatever it wrote or returned after that means nothing."""
        match run.completed.stopped:
            case None:
                return None
            case StopReason.TIMEOUT:
                said = last_lines(run.stderr) or last_lines(run.stdout)
                after = f"no answer within {run.completed.duration:.3g} s"
                message = f"{after}; it last said: {said}" if said else after
                return Failure(kind=FailureKind.TIMEOUT, message=message)
            case StopReason.OUTPUT_TOO_LARGE:
                return Failure(
                    kind=FailureKind.OUTPUT_TOO_LARGE,
                    message="wrote more than max_output_bytes and was stopped; "
                    "the start and the end are kept",
                )
            case StopReason.GIVEN_UP:
                notice = self._notices.last(run.stdout, run.stderr, run.now)
                message = "stopped before it had answered"
                return notice or Failure(kind=FailureKind.CANCELLED, message=message)
            case StopReason.CLOSED:
                return Failure(kind=FailureKind.CANCELLED, message="the registry was closed")

    def _failed(self, run: _Run) -> Failure | None:
        """The tool says that it failed, or its exit code does and it says nothing else."""
        root, expressions = run.document.root, run.expressions
        succeeded = expressions.true("succeeded", root)
        error = expressions.text("error_message", root)
        code = expressions.text("error_code", root)
        status = expressions.count("error_status", root)
        evidence = Evidence(
            error=f"{error}\n{code}".strip(),
            stderr=run.stderr,
            stdout="" if run.document.structured else run.stdout,
            status=status,
            exit_code=run.completed.exit_code or 0,
        )
        says_so = bool(error or code or status or expressions.true("failed", root))
        if says_so or (run.completed.exit_code != 0 and not succeeded):
            return self._failure(run, self._classifier.classify(evidence), error)
        verdict = self._classifier.on(Stream.STDOUT, run.stdout)
        return self._failure(run, verdict, "") if verdict else None

    def _failure(self, run: _Run, verdict: Verdict, error: str) -> Failure:
        message = one_line(error, _LONGEST) or last_lines(run.stderr, _LONGEST)
        if not message and not run.document.structured:
            message = last_lines(run.stdout, _LONGEST)
        if run.completed.exit_code is None and verdict.kind is FailureKind.CRASHED and not error:
            message = f"{STATUS_LOST}; it last said: {message}" if message else STATUS_LOST
        message = message or _ending(run.completed.exit_code)
        failure = Failure(kind=verdict.kind, message=message)
        if verdict.kind not in LIMITED:
            return failure
        root, expressions = run.document.root, run.expressions
        waiting = (
            read_waiting(
                expressions.value("retry_after", root), expressions.value("until", root), run.now
            )
            or read_waiting(verdict.retry_after, verdict.until, run.now)
            or find_waiting(error or message, run.now)
        )
        return evolve(failure, retry_after=waiting.retry_after, until=waiting.until)

    def _unanswered(self, run: _Run, text: str) -> Failure | None:
        """No error anywhere, and yet no answer that can be believed."""
        document, expressions = run.document, run.expressions
        if "succeeded" in expressions:
            finished = expressions.true("succeeded", document.root)
        else:
            finished = document.whole
        if not finished and run.stdout.strip():
            return Failure(
                kind=FailureKind.CRASHED,
                message="ended with exit status 0, but its output is cut off or not what this "
                f"tool writes; it ends: {last_lines(run.stdout)}",
            )
        if not text.strip():
            said = last_lines(run.stderr)
            return Failure(
                kind=FailureKind.EMPTY,
                message="the answer is blank" + (f"; it said: {said}" if said else ""),
            )
        return None

    def _usage(self, run: _Run, prompt: str, answer: str, failure: Failure | None) -> Usage:
        root, count = run.document.root, run.expressions.count
        requests = count("requests", root)
        cost = run.expressions.number("cost_usd", root)
        given = {name: count(f"{name}_tokens", root) for name in ("input", "output", "total")}
        if any(value is not None for value in given.values()):
            read, written = given["input"] or 0, given["output"] or 0
            return Usage(
                input_tokens=read,
                output_tokens=written,
                cached_tokens=count("cached_tokens", root) or 0,
                reasoning_tokens=count("reasoning_tokens", root) or 0,
                total_tokens=read + written if given["total"] is None else given["total"],
                requests=1 if requests is None else requests,
                cost_usd=cost,
                measured=True,
            )
        # Who answered, or was stopped by us while it worked, has read the prompt.
        worked = failure is None or run.completed.stopped is not None
        read = estimate_tokens(prompt) if worked else 0
        written = estimate_tokens(answer)
        return Usage(
            input_tokens=read,
            output_tokens=written,
            total_tokens=read + written,
            requests=1 if requests is None else requests,
            cost_usd=cost,
        )


def _decode(written: bytes, secrets: Collection[str]) -> str:
    return redact(written.decode("utf-8", "replace"), secrets)


def _ending(exit_code: int | None) -> str:
    """For a run that left no words."""
    if exit_code is None or exit_code >= 0:
        return f"ended with exit status {exit_code} and said nothing"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; perhaps the system ran out of memory" if -exit_code == signal.SIGKILL else ""
    return f"was killed from outside by {name}{hint}"
