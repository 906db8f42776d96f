"""The report's tables. A column is a title and a function from a row to its cell; HTML and Markdown loop over both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """One cell: the figure, a second line, the origin badge of a latency, and where the figure leads."""

    main: str
    note: str = ""
    origin: str = ""
    href: str = ""


EMPTY = Cell("–")


@dataclass(frozen=True)
class Column:
    """One column of a table. The first of a table heads its lines."""

    title: str
    cell: Callable[[Any], Cell | str]  # of one row
    css: str = ""  # "num": a figure, set to the right; others only in HTML
    short: str = ""  # names the cell where a phone stacks the table

    def of(self, row: Any) -> Cell:
        """Its cell of one row."""
        shown = self.cell(row)
        return shown if isinstance(shown, Cell) else Cell(shown)


@dataclass(frozen=True)
class Table:
    """What both renderings show of it."""

    label: str  # for readers who hear the page
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Any]
    css: str = ""
    search: str = ""  # names the box that finds lines by their first column; empty: there is none

    @property
    def lines(self) -> list[list[tuple[Column, Cell]]]:
        """Row by row, every column with its cell."""
        return [[(column, column.of(row)) for column in self.columns] for row in self.rows]
