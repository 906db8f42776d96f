"""taxonomy.csv: a row a class, its columns from fine to coarse, and optional names for people in several languages.

    class,species,genus,family,name:en,family:de
    dog_rose,Rosa canina,Rosa,Rosaceae,Dog rose,Rosengewächse

An empty cell: the class has no such rank. RANK:LANGUAGE is what people call the name in the column RANK,
`name:LANGUAGE` what they call the class.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgefit_toolkit.data import class_names
from edgefit_toolkit.data.answers.tables import read_text, rows_of, table_file
from edgefit_toolkit.data.answers.taxonomy import CLASS, Node, Taxonomy
from edgefit_toolkit.errors import DataError

FILE = "taxonomy.csv"  # its name in a data folder
HINT = "a row a class, columns from fine to coarse: class,species,genus,family"
SHOWN = 5  # names that an error lists


@dataclass
class _Entry:
    """A node while the rows are read; `line` is where it was first seen."""

    line: int
    parent: tuple[int, str] | None  # rank and name
    names: dict[str, str] = field(default_factory=dict)


def find_taxonomy(file: str | None, data: str | None, classes: Sequence[str]) -> Taxonomy | None:
    """The taxonomy that --taxonomy names, else the one in the data folder; None when there is neither.

    Raises DataError as `read_taxonomy` does.
    """
    path = table_file(file, data, FILE)
    return None if path is None else read_taxonomy(path, classes)


def read_taxonomy(path: Path, classes: Sequence[str]) -> Taxonomy:
    """The tree over `classes`, in their order.

    Raises DataError for a file that cannot be read or is no table, for classes that are unknown, missing or named
    twice, and for a name that has two parents.
    """
    return parse_taxonomy(read_text(path, "the taxonomy", HINT), classes, str(path))


def parse_taxonomy(text: str, classes: Sequence[str], where: str) -> Taxonomy:
    """As `read_taxonomy`, of the text of a file that messages call `where`."""
    rows = rows_of(text, where, HINT)
    header = rows[0][1] if rows else []
    ranks = _ranks(header, where)
    levels: list[dict[str, _Entry]] = [{} for _ in ranks]
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DataError(f"{where}, line {line}: {len(row)} cells under {len(header)} columns", HINT)
        _add(dict(zip(header, row, strict=True)), line, ranks, levels, where)
    _same_classes(levels[0], classes, where)
    levels[0] = {name: levels[0][name] for name in classes}
    kept = [rank for rank, level in enumerate(levels) if level]  # a column without a single name is no rank
    at = {(rank, name): i for i, (rank, name) in enumerate((rank, name) for rank in kept for name in levels[rank])}
    nodes = tuple(
        Node(name, kept.index(rank), -1 if entry.parent is None else at[entry.parent], entry.names)
        for rank in kept
        for name, entry in levels[rank].items()
    )
    return Taxonomy(tuple(ranks[rank] for rank in kept), nodes)


def of_groups(groups: Mapping[str, Sequence[str]], classes: Sequence[str], where: str) -> Taxonomy | None:
    """The tree of nested folders: class -> the groups that it lies in, the nearest first. None without any group.

    Ranks are counted from the class: `group`, `group 2`, ... Raises DataError where two groups of one name lie in
    different ones.
    """
    deepest = max((len(above) for above in groups.values()), default=0)
    if not deepest:
        return None
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([CLASS, "group", *(f"group {depth}" for depth in range(2, deepest + 1))])
    for name in classes:
        above = groups.get(name, ())
        table.writerow([name, *above, *[""] * (deepest - len(above))])
    return parse_taxonomy(text.getvalue(), classes, where)


def _ranks(header: Sequence[str], where: str) -> list[str]:
    """The columns that are ranks, CLASS first."""
    ranks = [column for column in header if ":" not in column]
    if ranks[:1] != [CLASS] or len(ranks) < 2 or "" in ranks:
        raise DataError(f"{where} has the columns {', '.join(header) or 'none'}; `class` and a rank are needed", HINT)
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{where} has the column {twice[0]} twice", "keep one of them")
    for column in header:
        of, colon, language = column.partition(":")
        if colon and (of not in (*ranks[1:], "name") or not language):
            raise DataError(
                f"{where} has the column {column!r}, which names nothing",
                f"valid: name:LANGUAGE, {', '.join(f'{rank}:LANGUAGE' for rank in ranks[1:])}",
            )
    return ranks


def _add(
    cells: dict[str, str], line: int, ranks: Sequence[str], levels: Sequence[dict[str, _Entry]], where: str
) -> None:
    """Put one row's path into the tree. Raises DataError where it contradicts an earlier row."""
    path = [(rank, cells[column]) for rank, column in enumerate(ranks) if cells[column]]
    if not cells[CLASS]:
        raise DataError(f"{where}, line {line}: the class is empty", HINT)
    for name in cells.values():
        fault = class_names.fault_of(name) if name else None
        if fault is not None:
            raise DataError(f"{where}, line {line}: a name {fault}", class_names.RULE)
    if cells[CLASS] in levels[0]:
        raise DataError(
            f"{where}, line {line}: class {cells[CLASS]!r} stands in line {levels[0][cells[CLASS]].line} already",
            "a class has one row",
        )
    for at, (rank, name) in enumerate(path):
        parent = path[at + 1] if at + 1 < len(path) else None
        entry = levels[rank].setdefault(name, _Entry(line, parent))
        if entry.parent != parent:
            raise DataError(
                f"{where}: {ranks[rank]} {name!r} is {_within(entry.parent, ranks)} in line {entry.line} and "
                f"{_within(parent, ranks)} in line {line}",
                "a name has one place in the tree; correct one of the rows",
            )
        prefix = "name" if rank == 0 else ranks[rank]
        for column, said in cells.items():
            of, _, language = column.partition(":")
            if language and of == prefix and said and entry.names.setdefault(language, said) != said:
                raise DataError(
                    f"{where}, line {line}: {column} of {name!r} is {said!r}, and {entry.names[language]!r} before",
                    "a name is called one thing in a language",
                )


def _within(parent: tuple[int, str] | None, ranks: Sequence[str]) -> str:
    return f"in the {ranks[parent[0]]} {parent[1]!r}" if parent is not None else "in nothing"


def _same_classes(found: dict[str, _Entry], classes: Sequence[str], where: str) -> None:
    unknown, missing = [name for name in found if name not in classes], [name for name in classes if name not in found]
    if unknown or missing:
        said = [f"it lacks {_few(missing)}"] if missing else []
        said += [f"{_few(unknown)} (line {found[unknown[0]].line}) is no class of the data"] if unknown else []
        raise DataError(f"{where} does not fit the classes: {'; '.join(said)}", "name the classes as their folders are")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
