"""places.csv: where and when a class occurs. An answer that does not occur there is lowered, never hidden. Pure.

    class,region,months
    dog_rose,Central Europe,5-7
    oxeye,Central Europe,"5-9,11"

Months are 1 to 12, one, a range or several; a range may pass the turn of the year (11-2); an empty cell is all year. A
class without a row occurs everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data import class_names
from edgefit_toolkit.data.answers.tables import read_text, rows_of, table_file
from edgefit_toolkit.errors import DataError

FILE = "places.csv"  # its name in a data folder
HINT = "the columns class,region,months; months such as 5-9, 11-2 or 3,4,10; empty: all year"
LOWERED = 0.1  # a class that does not occur here is held ten times less likely: strays and gardens remain possible
ALL_YEAR = 0xFFF  # bit 0: January


@dataclass(frozen=True)
class Places:
    """`rows` of (class, region, months): indices, and a bit for each month, January first."""

    regions: tuple[str, ...]
    rows: tuple[tuple[int, int, int], ...]

    def seldom(self, classes: int, region: str | None, month: int | None) -> NDArray[np.bool_]:
        """bool [classes]: those that have rows, none of them of this region and month; None is any.

        A region that no row names is any, too.
        """
        listed, here = np.zeros(classes, bool), np.zeros(classes, bool)
        at = self.regions.index(region) if region in self.regions else None
        for label, where, months in self.rows:
            listed[label] = True
            here[label] |= at in (None, where) and (month is None or bool(months >> (month - 1) & 1))
        return listed & ~here


def find_places(file: str | None, data: str | None, classes: Sequence[str]) -> Places | None:
    """The table that --places names, else the one in the data folder; None when there is neither.

    Raises DataError for a file that cannot be read, is no such table or names other classes.
    """
    path = table_file(file, data, FILE)
    if path is None:
        return None
    return parse_places(read_text(path, "the table of places", HINT), classes, str(path))


def parse_places(text: str, classes: Sequence[str], where: str) -> Places:
    """As `find_places`, of the text of a file that messages call `where`."""
    rows = rows_of(text, where, HINT)
    if not rows or rows[0][1] != ["class", "region", "months"]:
        raise DataError(f"{where} has the columns {', '.join(rows[0][1]) if rows else 'none'}", HINT)
    at = {name: label for label, name in enumerate(classes)}
    found: list[tuple[int, str, int]] = []
    for line, row in rows[1:]:
        if len(row) != 3:
            raise DataError(f"{where}, line {line}: {len(row)} cells under 3 columns", HINT)
        if row[0] not in at:
            raise DataError(f"{where}, line {line}: {row[0]!r} is no class of the data", "name it as its folder is")
        fault = class_names.fault_of(row[1])
        if fault is not None:
            raise DataError(f"{where}, line {line}: the region {fault}", HINT)
        found.append((at[row[0]], row[1], _months(row[2], where, line)))
    regions = sorted({region for _, region, _ in found})
    return Places(tuple(regions), tuple((label, regions.index(region), months) for label, region, months in found))


def _months(cell: str, where: str, line: int) -> int:
    bits = 0
    for part in cell.split(",") if cell else ():
        first, dash, last = (text.strip() for text in part.partition("-"))
        ends = (first, last if dash else first)
        if not all(end.isdecimal() and 1 <= int(end) <= 12 for end in ends):
            raise DataError(f"{where}, line {line}: {part.strip()!r} are no months", HINT)
        low, high = map(int, ends)
        for month in range(low, high + 1 if high >= low else high + 13):
            bits |= 1 << (month - 1) % 12
    return bits or ALL_YEAR
