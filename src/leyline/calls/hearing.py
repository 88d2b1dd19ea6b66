"""Listens to one run: its answer as it grows, and whether its tool tries again by itself."""

from collections.abc import Callable
from typing import Final

from attrs import define, frozen

from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.outcome import RetryWatch, StreamReader


@frozen
class Audience:
    """Who listens to the runs of one call.

    hear: Takes each piece of the answer. None: nobody does.
    impatient: Whether a run is stopped when its tool says that it tries again by itself.
    started: Told of each run, when nothing holds it back any more.
    """

    hear: Callable[[str], None] | None = None
    impatient: bool = False
    started: Callable[[], None] = lambda: None


NOBODY: Final = Audience()


@define
class Hearing:
    """A ``Listener`` for one run."""

    _hear: Callable[[str], None] | None
    _reader: StreamReader | None
    _watch: RetryWatch | None
    _clock: Clock

    @classmethod
    def of(
        cls, audience: Audience, config: ServiceConfig, clock: Clock, secrets: tuple[str, ...]
    ) -> "Hearing | None":
        """The listener for *audience*; None if it would hear nothing."""
        reader = None if audience.hear is None else StreamReader(config, secrets=secrets)
        watch = RetryWatch(config, secrets=secrets) if audience.impatient else None
        if reader is None and not watch:
            return None
        return cls(audience.hear, reader, watch or None, clock)

    def stdout(self, data: bytes, /) -> bool:
        """See ``Listener``."""
        if self._reader is not None:
            self._tell(self._reader.feed(data))
        return self._watch is not None and bool(self._watch.stdout(data, now=self._clock.wall()))

    def stderr(self, data: bytes, /) -> bool:
        """See ``Listener``."""
        return self._watch is not None and bool(self._watch.stderr(data, now=self._clock.wall()))

    def finish(self) -> None:
        """All has been heard."""
        if self._reader is not None:
            self._tell(self._reader.finish())

    def _tell(self, pieces: list[str]) -> None:
        if self._hear is not None:
            for piece in pieces:
                self._hear(piece)
