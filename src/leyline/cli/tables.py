"""Tables: folded to fit on a terminal; anywhere else one line a row, with tabs between columns."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen

from leyline.cli import output

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_SHORT: Final = 10


@frozen
class Cell:
    """Text for one cell. style: How it looks on a terminal, in rich's words."""

    text: str
    style: str = ""


Row = Sequence[Cell]


def plain_table(headers: Sequence[str], rows: Iterable[Row]) -> str:
    """Every value whole and on the line of its row, ``-`` where there is none."""
    lines = [headers, *([output.on_one_line(cell.text) or "-" for cell in row] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def drawing(headers: Sequence[str], rows: Iterable[Row], notes: Sequence[str] = ()) -> "Group":
    """The same for a terminal, with *notes* below: sentences, too long for a column."""
    from rich.console import Group  # slow, and only for a terminal
    from rich.text import Text

    below = [Text("\n" + "\n".join(map(output.on_one_line, notes)))] if notes else []
    return Group(_rich_table(headers, list(rows)), *below)


def show_on_terminal(headers: Sequence[str], rows: Iterable[Row], notes: Sequence[str]) -> None:
    """Write a drawing to standard output."""
    from rich.console import Console

    Console().print(drawing(headers, rows, notes))


def _rich_table(headers: Sequence[str], rows: Sequence[Row]) -> "Table":
    """A table that folds what is too wide and cuts nothing off.

    Columns in which nothing stands are left out, and short ones are not folded.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    columns = [number for number in range(len(headers)) if any(row[number].text for row in rows)]
    for number in columns or range(len(headers)):
        widest = max((len(row[number].text) for row in rows), default=0)
        table.add_column(headers[number], overflow="fold", no_wrap=widest <= _SHORT)
    for row in rows:
        cells = (row[number] for number in columns)
        # As Text, because a name may look like rich's markup.
        table.add_row(*(Text(output.on_one_line(c.text), style=c.style) for c in cells))
    return table
