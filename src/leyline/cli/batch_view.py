"""How far a batch is, while it runs: a live view on a terminal, else a line now and then."""

import sys
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field

from leyline.batch.lookout import Lookout, Sight
from leyline.batch.run import Run
from leyline.batch.settings import Settings
from leyline.cli import output, tables
from leyline.cli.batch_words import spent
from leyline.cli.quota import duration
from leyline.cli.tables import Cell
from leyline.limits import QuotaLevel
from leyline.model import HealthStatus
from leyline.service_registry import ServiceRegistry

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

_FIRST_LINE: Final = 5.0
_LINE_SECONDS: Final = 30.0
_BAR: Final = 30
_HEADERS: Final = ("service", "running", "done", "quota", "state")
_STYLES: Final = {
    QuotaLevel.HEALTHY: "green",
    QuotaLevel.WARNING: "yellow",
    QuotaLevel.CRITICAL: "red",
}


@define(eq=False)
class View:
    """What people see of *run*. console: Of the terminal; None: there is none."""

    run: Run
    console: "Console | None"
    started: float = field(factory=time.monotonic, init=False)
    _line_at: float = field(factory=lambda: time.monotonic() + _FIRST_LINE, init=False)

    @classmethod
    def of(cls, run: Run) -> "View":
        """A view on standard error, live where that is a terminal."""
        if not output.is_terminal(sys.stderr):
            return cls(run, None)
        from rich.console import Console  # slow, and only for a terminal

        return cls(run, Console(stderr=True))

    async def watch(self, registry: ServiceRegistry, settings: Settings) -> None:
        """Show how far the batch is, until cancelled."""
        lookout = Lookout(self.run, registry, settings, self.tell)
        async with anyio.create_task_group() as group:
            group.start_soon(lookout.watch)
            live = self._live(lookout) if self.console is not None else nullcontext()
            with suppress(OSError), live:  # a terminal that is gone is no end of the batch
                while True:
                    await anyio.sleep(0.5)
                    if self.console is None and time.monotonic() >= self._line_at:
                        self._line_at += _LINE_SECONDS
                        output.note(self.line(lookout))

    def tell(self, text: str) -> None:
        """Say something between the views."""
        if self.console is None:
            output.note(text)
        else:
            with suppress(OSError):
                self.console.print(f"leyline: {text}", markup=False, highlight=False)

    def line(self, lookout: Lookout) -> str:
        """How far it is, on one line."""
        progress = self.run.progress
        sums = progress.sums
        parts = [
            f"{sums.done:,} of {sums.rows:,} rows done ({_percent(sums.done, sums.rows)})",
            f"{sums.failed:,} failed",
            f"{_rate(progress.rate(time.monotonic()))}",
            spent(sums),
        ]
        left = lookout.seconds_left()
        if left is not None and sums.left:
            parts.append(f"about {duration(left)} left")
        if self.run.ending is not None:
            parts.append(f"finishing {self.run.busy:,} (Ctrl-C stops at once)")
        return ", ".join(parts)

    def _live(self, lookout: Lookout) -> "Live":
        from rich.live import Live

        return Live(
            get_renderable=lambda: self._drawn(lookout),
            console=self.console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _drawn(self, lookout: Lookout) -> "Group":
        from rich.console import Group
        from rich.text import Text

        progress = self.run.progress
        sums = progress.sums
        full = int(_BAR * sums.done / max(1, sums.rows))
        bar = Text.assemble(("━" * full, "green"), ("━" * (_BAR - full), "dim"))
        bar.append(f" {_percent(sums.done, sums.rows)}  {sums.done:,} of {sums.rows:,}")
        if sums.failed:
            bar.append(f"  {sums.failed:,} failed", "red")
        left = lookout.seconds_left()
        facts = [_rate(progress.rate(time.monotonic())), spent(sums)]
        if sums.left:
            facts.append("time left unknown" if left is None else f"about {duration(left)} left")
        if self.run.ending is not None:
            facts = [f"finishing {self.run.busy:,} that run; Ctrl-C again stops at once"]
            if not self.run.busy:
                facts = ["ended"]
        rows = [self._row(name, sight) for name, sight in lookout.sights.items()]
        table = tables.drawing(_HEADERS, rows) if rows else Text("")
        return Group(bar, Text(" · ".join(facts)), table)

    def _row(self, name: str, sight: Sight) -> tuple[Cell, ...]:
        progress = self.run.progress
        quota = ", ".join(
            f"{limit.name} {limit.left:,} of {limit.amount:,} left" for limit in sight.quota.limits
        )
        return (
            Cell(name, "bold"),
            Cell(f"{progress.running[name]:,}"),
            Cell(f"{progress.by_service[name]:,}"),
            Cell(quota or "no limit", _STYLES[sight.quota.level]),
            _state(sight, progress.tokens_each),
        )


def _state(sight: Sight, tokens: float) -> Cell:
    seconds, _ = sight.blocked(tokens)
    if sight.quota.closed_for > 0:
        return Cell(f"closed for {duration(seconds)}", "red")
    if sight.health.status is HealthStatus.UNHEALTHY:
        return Cell("unusable", "red")
    if seconds > 0:
        return Cell(f"full for {duration(seconds)}", "yellow")
    return Cell("ready", "green")


def _percent(part: int, whole: int) -> str:
    return f"{int(100 * part / max(1, whole))} %"


def _rate(rate: float) -> str:
    if 0 < rate < 0.1:
        return f"{60 * rate:.1f} rows/min"
    return f"{rate:.1f} rows/s"
