"""What a tool says while it runs: that it was refused, and tries again by itself."""

from collections.abc import Collection, Iterable
from typing import Final

from leyline.config import ErrorPattern, ServiceConfig, Stream
from leyline.model import Failure
from leyline.outcome.classification import LIMITED, Classifier
from leyline.outcome.lines import Lines
from leyline.outcome.waiting import find_waiting, read_waiting
from leyline.redaction import redact
from leyline.wording import one_line

_LONGEST: Final = 500
"""Characters of a message."""

_SEARCHED: Final = 8_000
"""Characters at the start of a line that are searched; a longer line is no notice."""


class Notices:
    """The retry notices of one service, compiled."""

    def __init__(self, patterns: Iterable[ErrorPattern]) -> None:
        patterns = tuple(patterns)
        self._classifier = Classifier.compile(patterns, {})
        self.streams = frozenset(stream for pattern in patterns for stream in pattern.where)

    def read(self, stream: Stream, line: str, now: float) -> Failure | None:
        """The failure that *line* speaks of; None if it is no notice."""
        line = line[:_SEARCHED]
        verdict = self._classifier.on(stream, line)
        if verdict is None:
            return None
        message = one_line(line, _LONGEST)
        if verdict.kind not in LIMITED:
            return Failure(kind=verdict.kind, message=message)
        waiting = read_waiting(verdict.retry_after, verdict.until, now) or find_waiting(line, now)
        return Failure(
            kind=verdict.kind,
            message=message,
            retry_after=waiting.retry_after,
            until=waiting.until,
        )

    def last(self, stdout: str, stderr: str, now: float) -> Failure | None:
        """The last notice in all that a tool wrote; standard error is asked first."""
        for stream, written in ((Stream.STDERR, stderr), (Stream.STDOUT, stdout)):
            if stream in self.streams:
                for line in reversed(written.split("\n")):
                    if notice := self.read(stream, line, now):
                        return notice
        return None


class RetryWatch:
    """Looks for retry notices in what one run writes, as it writes it.

    secrets: Values that must not reach a message.
    """

    def __init__(self, config: ServiceConfig, *, secrets: Collection[str] = ()) -> None:
        self._notices = Notices(config.retry_notices)
        self._secrets = secrets
        self._lines = {Stream.STDOUT: Lines(), Stream.STDERR: Lines()}

    def __bool__(self) -> bool:
        """Whether the tool writes notices at all."""
        return not self._notices.streams.isdisjoint(self._lines)

    def stdout(self, data: bytes, *, now: float) -> Failure | None:
        """The last notice in the lines that *data* ends. now: Unix time."""
        return self._feed(Stream.STDOUT, data, now)

    def stderr(self, data: bytes, *, now: float) -> Failure | None:
        """The last notice in the lines that *data* ends. now: Unix time."""
        return self._feed(Stream.STDERR, data, now)

    def _feed(self, stream: Stream, data: bytes, now: float) -> Failure | None:
        if stream not in self._notices.streams:
            return None
        found: Failure | None = None
        for line in self._lines[stream].feed(data):
            if self._notices.read(stream, line, now):  # most lines are none, and cost little
                found = self._notices.read(stream, redact(line, self._secrets), now) or found
        return found
