"""What ``leyline batch`` says at its beginning and at its end."""

from typing import Final

from leyline.batch.journal import Sums
from leyline.batch.opening import Opened
from leyline.batch.progress import Progress
from leyline.batch.run import Report
from leyline.batch.settings import Ending
from leyline.cli import exits, output
from leyline.cli.exits import ExitCode

_ENDINGS: Final = {
    Ending.INTERRUPTED: ("stopped", ExitCode.INTERRUPTED),
    Ending.COST: ("ended, as it has cost what it may (--max-cost)", ExitCode.LATER),
    Ending.FAILURES: ("ended, as too many rows have failed (--max-failures)", ExitCode.FAILED),
    Ending.TIME: ("ended, as its time is up (--until)", ExitCode.LATER),
    Ending.QUOTA: ("ended, as the quotas are used up (--no-wait)", ExitCode.LATER),
    Ending.BROKEN: ("ended, as it cannot go on", ExitCode.FAILED),
    Ending.UNUSABLE: ("ended, as no service can be used", ExitCode.NOT_STARTED),
}


def tell_opened(opened: Opened) -> None:
    """What it found, if it goes on."""
    if not opened.resumed:
        return
    for said in opened.options_changed:
        output.note(said)
    changed = opened.difference
    if changed:
        output.note(f"the input has changed ({changed.words})")
    if opened.repair.removed and not opened.retried:
        output.note(
            f"{opened.output.path}: {opened.repair.removed:,} bytes at its end were no result as "
            "it was written, and were removed"
        )
    sums = opened.sums
    again = f" ({opened.retried:,} that failed are run again)" if opened.retried else ""
    output.note(f"going on: {sums.done:,} of {sums.rows:,} rows are done{again}")


def tell_ended(opened: Opened, progress: Progress, report: Report) -> int:
    """What it came to; returns the exit code."""
    sums = progress.sums
    said = f"{sums.done:,} of {sums.rows:,} rows done, {sums.failed:,} failed"
    said += f"; {spent(sums)}"
    unpriced = progress.unpriced.total()
    if unpriced and sums.cost is not None:
        said += f" (answers of unknown cost: {unpriced:,})"
    if report.ending is Ending.DONE:
        output.note(f"{said}; {opened.output.path}")
        return ExitCode.FAILED if sums.failed or sums.left else ExitCode.OK
    why, code = _ENDINGS[report.ending]
    if report.why is not None:
        output.note(str(report.why))
        code = exits.of_error(report.why) if report.ending is Ending.UNUSABLE else code
    if report.unwritten:
        said += f"; {report.unwritten:,} more not written down, to be run again"
    output.note(f"{why}: {said}; the same command goes on")
    return code


def spent(sums: Sums) -> str:
    """Tokens, and dollars as far as they are known."""
    tokens = f"{sums.tokens:,} tokens"
    if sums.cost is None:
        return tokens
    return f"{tokens}, ${sums.cost:,.{2 if sums.cost >= 1 else 4}f}"
