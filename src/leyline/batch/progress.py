"""How far a batch is: counts, how fast it goes, and when it will probably be done. Pure."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from attrs import define, evolve, field

from leyline.batch.journal import Result, Sums
from leyline.events import AttemptFinished, AttemptStarted, Event

_WINDOW: Final = 120.0
"""Seconds that a rate looks back."""


@define
class Progress:
    """Counts of one run.

    sums: Of the whole batch, with earlier runs. failed: Rows that failed in this run.
    by_service: Rows that each answered in this run. running: Processes that run now, by service.
    unpriced: Answers of this run of which nobody knows the cost, by service.
    """

    sums: Sums
    failed: int = field(default=0, init=False)
    done: int = field(default=0, init=False)
    unpriced: Counter[str] = field(factory=Counter[str], init=False)
    by_service: Counter[str] = field(factory=Counter[str], init=False)
    running: Counter[str] = field(factory=Counter[str], init=False)
    _seconds: float = field(default=0.0, init=False)
    _tokens: int = field(default=0, init=False)
    _runs: int = field(default=0, init=False)
    _seen: deque[tuple[float, int]] = field(factory=deque[tuple[float, int]], init=False)

    def hear(self, event: Event) -> None:
        """Take note of processes that start and end."""
        if isinstance(event, AttemptStarted):
            self.running[event.service] += 1
        elif isinstance(event, AttemptFinished):
            self.running[event.service] -= 1
            if event.result is not None:
                self._runs += 1
                self._seconds += event.result.duration
                self._tokens += event.result.usage.total_tokens

    def count(self, result: Result, *, unpriced: bool = False) -> None:
        """Take note of a result. unpriced: Nobody knows what the answer cost."""
        before = self.sums
        cost = before.cost if result.cost is None else (before.cost or 0.0) + result.cost
        self.done += 1
        self.failed += not result.success
        if unpriced:
            self.unpriced[result.service] += 1
        if result.success:
            self.by_service[result.service] += 1
        self.sums = evolve(
            before,
            done=before.done + 1,
            failed=before.failed + (not result.success),
            tokens=before.tokens + result.tokens,
            cost=cost,
        )

    def take_back(self, results: Sequence[Result]) -> None:
        """These were not written down: their rows are not done. What they cost is spent."""
        failed = sum(not result.success for result in results)
        self.sums = evolve(
            self.sums, done=self.sums.done - len(results), failed=self.sums.failed - failed
        )

    @property
    def seconds_each(self) -> float | None:
        """Seconds that one run of a process takes, on average. None: none has ended yet."""
        return self._seconds / self._runs if self._runs else None

    @property
    def tokens_each(self) -> float:
        """Tokens that one run takes, on average; 0: none has ended yet."""
        return self._tokens / self._runs if self._runs else 0.0

    def rate(self, now: float) -> float:
        """Rows a second of late; *now* in monotonic seconds, once for each look."""
        self._seen.append((now, self.done))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        return (self.done - before) / (now - since) if now > since else 0.0
