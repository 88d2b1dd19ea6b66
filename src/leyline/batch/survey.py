"""What an input asks, in sums: for a look ahead, without running or writing anything."""

from collections.abc import Callable, Iterable

from attrs import define, field, frozen

from leyline.batch.errors import BatchInputError
from leyline.batch.plan import Load
from leyline.batch.recipe import Recipe, Row, RowError
from leyline.batch.source import Flaw, Source
from leyline.tokens import estimate_tokens


@frozen(kw_only=True)
class Survey:
    """What is to be done. loads: By who may answer. done: Rows that have a result already."""

    loads: tuple[Load, ...]
    done: int

    @property
    def rows(self) -> int:
        """Rows that are still to be asked."""
        return sum(load.rows for load in self.loads)


@define
class _Sums:
    rows: int = 0
    tokens: int = 0


@define(kw_only=True)
class Surveyor:
    """Reads an input once.

    check: What else is wrong with a row. services: Who is asked where a row does not say.
    is_done: Whether the row of this id has a result. file_tokens: Of a file, estimated.
    """

    recipe: Recipe
    check: Callable[[Row], Iterable[str]]
    services: tuple[str, ...]
    is_done: Callable[[str], bool]
    file_tokens: Callable[[str], int]
    _lines: dict[str, int] = field(factory=dict[str, int], init=False)
    _sums: dict[tuple[str, ...], _Sums] = field(factory=dict[tuple[str, ...], _Sums], init=False)
    _done: int = field(default=0, init=False)

    def survey(self, source: Source) -> Survey:
        """The sums of *source*. Remembers every id meanwhile, to see whether one stands there
        twice. Raises BatchInputError with every row that is wrong."""
        problems: list[str] = []
        for record in source.rows():
            if isinstance(record, Flaw):
                problems.append(str(record))
                continue
            try:
                row = self.recipe.row(record)
            except RowError as error:
                problems.append(f"line {record.line:,}: {error}")
                continue
            wrong = [f"line {row.line:,}: {said}" for said in self.check(row)]
            problems += wrong
            earlier = self._lines.setdefault(row.key, row.line)
            if earlier != row.line:
                problems.append(f'line {row.line:,}: the id "{row.id}" is that of line {earlier:,}')
            if not wrong:
                self._add(row)
        if problems:
            raise BatchInputError(source.name, tuple(problems))
        loads = [Load(services=k, rows=s.rows, tokens=s.tokens) for k, s in self._sums.items()]
        return Survey(loads=tuple(loads), done=self._done)

    def _add(self, row: Row) -> None:
        if self.is_done(row.key):
            self._done += 1
            return
        services = row.services or self.services
        sums = self._sums.get(services)
        if sums is None:
            sums = self._sums[services] = _Sums()
        sums.rows += 1
        sums.tokens += estimate_tokens(row.prompt) + sum(map(self.file_tokens, row.files))
