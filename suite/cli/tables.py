"""Where every table that a command prints is laid out: what does not fit is wrapped, left out by name or continued below, never cut.

On a terminal a table takes at most its width. In a file or a pipe it is as wide as it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

PAGE = 132  # a file or a pipe gets brief heads where whole ones are wider than this
GAPS = (3, 2, 1)  # blanks between two columns, the widest that fits
LEAST = 12  # a column of names is wrapped to this width at the narrowest


@dataclass(frozen=True)
class Column:
    """One column; its cells stay whole on one line unless it ``wraps``.

    Attributes:
        head: what stands above it; several lines are allowed.
        brief: what stands there when the whole heads do not fit; empty = there is nothing shorter.
        wraps: it holds names or sentences, which may take several lines.
        optional: 0 = is always shown; of the others the highest is left out first, together with those of the same number.
    """

    head: str
    brief: str = ""
    wraps: bool = False
    optional: int = 0


@dataclass(frozen=True)
class Sheet:
    """A table to print.

    Attributes:
        rows: as many cells as there are columns; plain text, never read as markup.
        notes: lines below the table.
        labels: number of leading columns that say what a row is; they are repeated where the table goes on below.
        elsewhere: where a reader finds columns that were left out, as the end of a sentence.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Text]]
    notes: Sequence[str] = ()
    labels: int = 1
    elsewhere: str = "a wider terminal shows them"


@dataclass(frozen=True)
class _Layout:
    """Which columns stand beside each other, how wide each is, and how far apart they are."""

    columns: Sequence[int]
    widths: Sequence[int]
    gap: int

    @property
    def width(self) -> int:
        return sum(self.widths) + self.gap * (len(self.widths) - 1)


def print_sheet(sheet: Sheet) -> None:
    """Print title, table and notes on standard output."""
    console = Console()
    width = console.width if sys.stdout.isatty() else None
    pieces, left_out = _arranged(sheet, width)
    if sheet.title:
        console.print(Text(sheet.title, style="italic"), soft_wrap=width is None)
        console.print()
    for number, (shown, layout) in enumerate(pieces):
        if number:
            console.print()
        Console(width=max(console.width, layout.width)).print(_table(shown, layout))
    if sheet.notes or left_out:
        console.print()
    missing = f"not shown in {width} columns: {', '.join(left_out)}; {sheet.elsewhere}"
    for note in (*sheet.notes, *([missing] if left_out else [])):
        print_line(note)
    console.print()


def print_line(text: str) -> None:
    """Print plain text on standard output; a terminal that is too narrow for it breaks it between words."""
    Console().print(Text(text), soft_wrap=not sys.stdout.isatty())


def print_pages(lines: Sequence[str]) -> None:
    """Where the runs are looked at, one line each, never broken: they are copied."""
    if lines:
        typer.echo("\n".join(["runs in the tracker's own pages:", *(f"  {line}" for line in lines)]))


def duration_text(seconds: float) -> str:
    """Seconds below two minutes, minutes below two hours, else hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _arranged(sheet: Sheet, width: int | None) -> tuple[list[tuple[Sheet, _Layout]], list[str]]:
    """The table in one piece if it fits, perhaps with brief heads or without optional columns; else in several, for below each other.

    Beside them the heads of the columns that were left out.
    """
    every = list(range(len(sheet.columns)))
    short = replace(sheet, columns=[replace(column, head=column.brief or column.head) for column in sheet.columns])
    if width is None:
        whole, brief = (_Layout(every, [_needed(shown, index) for index in every], GAPS[0]) for shown in (sheet, short))
        return [(sheet, whole) if whole.width <= PAGE else (short, brief)], []
    levels = sorted({column.optional for column in sheet.columns if column.optional}, reverse=True)
    for shown in (sheet, short):
        for count in range(len(levels) + 1):
            left_out = [index for index in every if sheet.columns[index].optional in levels[:count]]
            layout = _fitted(shown, [index for index in every if index not in left_out], width)
            if layout is not None:
                return [(shown, layout)], _heads(sheet, left_out)
    kept = [index for index in every if not sheet.columns[index].optional]
    return [(short, layout) for layout in _pieces(short, kept, width)], _heads(
        sheet, [index for index in every if index not in kept]
    )


def _heads(sheet: Sheet, columns: Sequence[int]) -> list[str]:
    return [sheet.columns[index].head.replace("\n", " ") for index in sorted(columns)]


def _pieces(sheet: Sheet, columns: Sequence[int], width: int) -> Iterator[_Layout]:
    """The columns in groups that fit, each after the labels; one that does not fit even alone is wider than ``width``."""
    count = min(sheet.labels, len(columns) - 1)
    labels, rest = list(columns[:count]), list(columns[count:])
    while rest:
        group = labels + rest[:1]
        layout = _fitted(sheet, group, width) or _Layout(group, [_least(sheet, index) for index in group], GAPS[-1])
        for size in range(2, len(rest) + 1):
            longer = _fitted(sheet, labels + rest[:size], width)
            if longer is None:
                break
            layout = longer
        yield layout
        rest = rest[len(layout.columns) - count :]


def _fitted(sheet: Sheet, columns: Sequence[int], width: int) -> _Layout | None:
    """The widest gaps with which the columns fit, names on one line if that is possible; None when nothing helps."""
    needed = [_needed(sheet, index) for index in columns]
    least = [_least(sheet, index) for index in columns]
    for wanted in (needed, least):
        for gap in GAPS:
            room = width - gap * (len(columns) - 1)
            if sum(wanted) <= room:
                return _Layout(columns, _shrunk(needed, least, room), gap)
    return None


def _shrunk(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """``widths`` taken from the widest that may shrink until all of them have ``room``."""
    found = list(widths)
    while sum(found) > room:
        widest = max((index for index in range(len(found)) if found[index] > least[index]), key=found.__getitem__)
        found[widest] -= 1
    return found


def _needed(sheet: Sheet, index: int) -> int:
    """Cells that the column takes with nothing wrapped."""
    heads = sheet.columns[index].head.split("\n")
    return max(cell_len(str(text)) for text in (*heads, *(row[index] for row in sheet.rows)))


def _least(sheet: Sheet, index: int) -> int:
    needed = _needed(sheet, index)
    return min(needed, LEAST) if sheet.columns[index].wraps else needed


def _table(sheet: Sheet, layout: _Layout) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, layout.gap - 1, 0, 0), pad_edge=False)
    for index, width in zip(layout.columns, layout.widths, strict=True):
        column = sheet.columns[index]
        # Words stand left, numbers right; a head that is wider than its wrapped column folds as its cells do.
        table.add_column(
            Text(column.head),
            justify="left" if column.wraps else "right",
            width=width,
            overflow="fold",
            no_wrap=not column.wraps,
        )
    for row in sheet.rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in (row[index] for index in layout.columns)))
    return table
