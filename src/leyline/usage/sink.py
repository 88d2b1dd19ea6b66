"""Where records go: a small protocol, and the two sinks that write no file."""

from collections.abc import Sequence
from typing import Protocol

from attrs import define, evolve, field

from leyline.usage.record import UsageRecord
from leyline.usage.sessions import Session, session_at


class Sink(Protocol):
    """Takes records in batches, from one thread at a time; it may wait for disks and locks.

    A record without a session gets one when it is written.
    """

    def write(self, records: Sequence[UsageRecord], /) -> int:
        """Write them so that they outlive this process, however it ends.

        Returns how many of them, from the first, were written. Raises UsageStoreError if none was.
        """
        ...

    def sync(self) -> None:
        """Have what was written survive a power cut too. Raises UsageStoreError."""
        ...

    def close(self) -> None:
        """Let go of the store; it is opened again if it is written to again."""
        ...


@define(eq=False)
class MemorySink:
    """Keeps the records of this process, in *records*."""

    records: list[UsageRecord] = field(factory=list[UsageRecord])
    _session: Session | None = None

    def write(self, records: Sequence[UsageRecord], /) -> int:
        """See ``Sink``."""
        for record in records:
            if not record.session:
                self._session = session_at(record.at, self._session)
                record = evolve(record, session=self._session.id)  # noqa: PLW2901  (kept is the new one)
            self.records.append(record)
        return len(records)

    def sync(self) -> None:
        """See ``Sink``."""

    def close(self) -> None:
        """See ``Sink``."""
