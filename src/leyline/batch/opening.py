"""How a batch begins, and how it goes on where it stopped."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from attrs import define, frozen

from leyline.batch.errors import BatchError, BatchInputError
from leyline.batch.journal import Difference, Intake, Journal, Sums
from leyline.batch.output import OutputFile, Repair, check_paths
from leyline.batch.recipe import Recipe, Row, RowError
from leyline.batch.source import Flaw, Record, Source

Check = Callable[[Row], Iterable[str]]
"""What is wrong with a row beyond its words: services and files that are not there."""

_INPUT: Final = "input"


@frozen(kw_only=True)
class Opened:
    """A batch, ready to run. sums: Where it stands. repair: What the output needed.

    resumed: It has been begun before. options_changed: Those that are not what they were, each as
    a sentence. difference: What was changed in the input and accepted. retried: Rows whose failure
    was forgotten, so that they are run again.
    """

    journal: Journal
    output: OutputFile
    recipe: Recipe
    sums: Sums
    resumed: bool
    repair: Repair
    options_changed: tuple[str, ...]
    difference: Difference
    retried: int


@define(kw_only=True)
class Opening:
    """What a batch is to be.

    source: Its input. None: what is in the journal already. template: See ``Recipe``. None: the
    column ``prompt``; without an input, what the batch began with.
    options: What is noticed if it changes, by the name that people know it by.
    check: Says what else is wrong with a row. ordered: The output is in the order of the input.
    accept_changes: Go on with an input that has changed.
    retry_failed: What failed before is to be run again.
    """

    source: Source | None
    output: Path
    template: str | None
    options: Mapping[str, Any]
    check: Check
    ordered: bool = False
    accept_changes: bool = False
    retry_failed: bool = False

    @contextlib.contextmanager
    def open(self) -> Generator[Opened]:
        """The batch, until the block ends; first the whole input is checked.

        Raises BatchInputError with every row that is wrong, and BatchError; nothing was written
        then, except that an output which was not whole may have been mended.
        """
        path = journal_path(self.output)
        fresh = self._fresh(path)
        with contextlib.ExitStack() as stack:
            output = OutputFile(self.output)
            stack.callback(output.close)
            journal = Journal(path)
            stack.callback(journal.close)
            try:
                opened = self._open(journal, output)
            except BaseException:
                journal.close()
                for file in fresh:  # a batch that never began leaves nothing behind
                    for ending in ("", "-wal", "-shm") if file == path else ("",):
                        Path(f"{file}{ending}").unlink(missing_ok=True)
                raise
            yield opened

    @property
    def _name(self) -> str:
        return "standard input" if self.source is None else self.source.name

    def _open(self, journal: Journal, output: OutputFile) -> Opened:
        facts = journal.facts()
        if self.source is None and self.template is None:
            self.template = facts.get("template")
        recipe = Recipe.of(self.template)
        difference = self._take_in(journal, facts, recipe)
        options_changed = self._options_changed(facts)
        journal.note({"options": dict(self.options)})
        retried = journal.forget_failures() if self.retry_failed else 0
        repair = output.repair(journal.lines(ordered=self.ordered))
        return Opened(
            journal=journal,
            output=output,
            recipe=recipe,
            sums=journal.sums(),
            resumed=bool(facts),
            repair=repair,
            options_changed=options_changed,
            difference=difference,
            retried=retried,
        )

    def _take_in(self, journal: Journal, facts: Mapping[str, Any], recipe: Recipe) -> Difference:
        if self.source is None and not facts:
            raise BatchError(self._name, "there is nothing on it; give the rows")
        with journal.intake() as intake:
            records = intake.known() if self.source is None else self.source.rows()
            count = self._read(records, intake, recipe)
            digest = facts[_INPUT] if self.source is None else self.source.digest.hexdigest()
            begun = {_INPUT: digest, "template": self.template, "rows": count}
            if not facts:
                intake.accept(begun)
                return Difference()
            other_words = facts["template"] != self.template
            if facts[_INPUT] == digest and not other_words:
                return Difference()
            difference = intake.difference()
            if (difference or other_words) and not self.accept_changes:
                raise self._changed(difference, other_words=other_words)
            intake.accept(begun, all_changed=other_words)
            return difference

    def _read(self, records: Iterable[Record | Flaw], intake: Intake, recipe: Recipe) -> int:
        """Take in every row. Raises BatchInputError with all that are wrong."""
        problems: list[str] = []
        count = 0
        for record in records:
            count += 1
            if isinstance(record, Flaw):
                problems.append(str(record))
                continue
            try:
                row = recipe.row(record)
            except RowError as error:
                problems.append(f"line {record.line:,}: {error}")
                continue
            problems += [f"line {row.line:,}: {said}" for said in self.check(row)]
            earlier = intake.add(row.key, record)
            if earlier is not None:
                problems.append(f'line {row.line:,}: the id "{row.id}" is that of line {earlier:,}')
        if problems:
            raise BatchInputError(self._name, tuple(problems))
        if not count:
            raise BatchError(self._name, "there are no rows in it")
        return count

    def _changed(self, difference: Difference, *, other_words: bool) -> BatchError:
        what = [difference.words] if difference else []
        if other_words:
            what.insert(0, "--template is another, and so every prompt")
        examples = "".join(f"\n  {example}" for example in difference.examples)
        return BatchError(
            self._name,
            f"it is not what this batch began with: {', '.join(what)}; put it back, name another "
            "output, or add --accept-changes to run what is new or changed and drop what is gone"
            f"{examples}",
        )

    def _options_changed(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        before: Mapping[str, Any] = facts.get("options", {})
        return tuple(
            f"{name} was {_said(before[name])}, and is {_said(value)} from here on"
            for name, value in self.options.items()
            if name in before and before[name] != value
        )

    def _fresh(self, journal: Path) -> list[Path]:
        """Those of the output and *journal* that are not there yet.

        Raises BatchError where a batch must not write to them.
        """
        try:
            check_paths(self._name if Path(self._name).exists() else None, self.output, journal)
            self._refuse_strangers(journal)
            return [file for file in (self.output, journal) if not file.exists()]
        except OSError as error:  # a name that is too long
            said = f"it or {journal.name} cannot be written: {error.strerror}"
            raise BatchError(str(self.output), said) from error

    def _refuse_strangers(self, journal: Path) -> None:
        if not journal.exists() and self.output.exists() and self.output.stat().st_size:
            raise BatchError(
                str(self.output),
                f"there is something in it, and no journal of it ({journal.name}); name another "
                "file, or move this one away",
            )


def journal_path(output: Path) -> Path:
    """Where the journal of a batch is: beside its output."""
    return Path(f"{output}.journal")


def _said(value: Any) -> str:
    if value is None:
        return "not given"
    return ", ".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
