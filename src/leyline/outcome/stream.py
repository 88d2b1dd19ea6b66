"""The answer of a streamed run, as it grows."""

import codecs
from collections.abc import Collection
from typing import Protocol

from leyline.config import OutputFormat, ServiceConfig
from leyline.outcome.document import parse_line
from leyline.outcome.expressions import Expressions
from leyline.outcome.lines import Lines
from leyline.plain import is_mapping
from leyline.redaction import Redactor


class StreamReader:
    """Finds the text in what one run writes to standard output. One for each run.

    The pieces together are the text of the outcome, where the tool gives one message. What it
    says between uses of its own tools is heard too, though the outcome has the last message
    alone; so is the start of an answer that the tool then asked for once more.

    secrets: Values that must not reach a piece.
    """

    def __init__(self, config: ServiceConfig, *, secrets: Collection[str] = ()) -> None:
        self._source = _source_of(config.streamed())
        self._redactor = Redactor(secrets)

    def feed(self, data: bytes) -> list[str]:
        """The pieces of text that *data*, cut anywhere, completes; none is empty."""
        pieces = map(self._redactor.feed, filter(None, self._source.feed(data)))
        return [piece for piece in pieces if piece]

    def finish(self) -> list[str]:
        """The last pieces, when all output has been fed."""
        pieces = map(self._redactor.feed, filter(None, self._source.finish()))
        return [piece for piece in (*pieces, self._redactor.finish()) if piece]


class _Source(Protocol):
    def feed(self, data: bytes, /) -> list[str]: ...
    def finish(self) -> list[str]: ...


def _source_of(config: ServiceConfig) -> _Source:
    if config.stream.text:
        return _Documents(config.stream.text)
    return _Text() if config.output.format is OutputFormat.TEXT else _Nothing()


class _Documents:
    """One JSON document a line, each of which may add to the text; other lines are noise."""

    def __init__(self, expression: str) -> None:
        self._expressions = Expressions.of({"text": expression})
        self._lines = Lines()

    def feed(self, data: bytes) -> list[str]:
        return [self._piece(line) for line in self._lines.feed(data)]

    def finish(self) -> list[str]:
        return [self._piece(self._lines.finish())]

    def _piece(self, line: str) -> str:
        document = parse_line(line)
        return self._expressions.text("text", document) if is_mapping(document) else ""


class _Text:
    """Standard output itself; white space at its end is not part of the answer."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: list[str] = []  # white space, until it is known whether more follows

    def feed(self, data: bytes) -> list[str]:
        return [self._tell(self._decoder.decode(data))]

    def finish(self) -> list[str]:
        return [self._tell(self._decoder.decode(b"", final=True))]

    def _tell(self, text: str) -> str:
        said = text.rstrip()
        if not said:
            self._held.append(text)
            return ""
        told = "".join([*self._held, said])
        self._held = [text[len(said) :]]
        return told


class _Nothing:
    """An answer that cannot be told from the rest before all of it is there."""

    def feed(self, _: bytes, /) -> list[str]:
        return []

    def finish(self) -> list[str]:
        return []
