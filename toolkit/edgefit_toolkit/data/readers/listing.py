"""A list of labelled pictures becomes a data set: what tables, archives and hubs have in common.

Classes are in the order of their names and pictures in that of theirs, as in a folder: how the list was sorted and
where the bytes lie changes neither the split nor what is trained.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from edgefit_toolkit.data.assembly import assemble
from edgefit_toolkit.data.dataset import NOT_SEEN, SPLIT_WORDS, About, Candidate, Dataset, Seen
from edgefit_toolkit.data.readers.attribution import Attributions
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain


@dataclass(frozen=True, slots=True)
class Row:
    """One picture and what the source says of it."""

    picture: Candidate
    label: str
    split: str  # in the source's own word; empty where it has none
    said: str  # where it says so, for messages: "row 7"


@dataclass(frozen=True, slots=True)
class FileRow:
    """The same of a picture in a file of its own; `path` as the source writes it."""

    path: str
    label: str
    split: str
    said: str
    seen: Seen = NOT_SEEN


def load_rows(
    rows: Sequence[Row],
    about: About,
    *,
    seed: int,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Checks and splits the listed pictures. A picture that is listed twice alike counts once.

    Raises DataError when there are none, a row lacks its label, two rows contradict each other, or the splits or
    classes cannot make a classifier.
    """
    where = about.where
    if not rows:
        raise DataError(f"{where} lists no pictures", "name a source with at least two classes of pictures")
    once, repeats = _once(rows, where)
    if repeats:
        about = replace(about, notes=(*about.notes, f"{repeats} rows repeat another and were read once"))
    return assemble(_parts(once, where), about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def load_file_rows(
    listed: Sequence[FileRow],
    *,
    beside: Path,
    seed: int,
    notes: Sequence[str] = (),
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """The same of picture files that the file `beside` lists: paths are absolute or relative to its folder.

    A file that is missing is left out and named like a damaged one. Raises DataError as `load_rows` does, and where
    none of the files is there.
    """
    tables = Attributions()
    rows, paths = [], []
    for row in listed:
        if not row.path:
            raise DataError(f"{row.said} of {beside} names no picture", "give its path or remove the row")
        path = Path(os.path.normpath(beside.parent / Path(row.path).expanduser()))
        paths.append(path)
        picture = replace(file_picture(path, tables.credit_of(path)), seen=row.seen)
        rows.append(Row(picture, row.label, row.split, row.said))
    if paths and not any(path.exists() for path in paths):
        raise DataError(
            f"none of the {len(paths)} pictures that {beside} lists is there: the first would be {paths[0]}",
            f"paths are absolute or relative to {beside.parent.absolute()}",
        )
    about = About(where=plain(str(beside)), name=plain(beside.stem), notes=(*notes, *tables.notes))
    return load_rows(rows, about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def split_of(file: PurePath) -> str:
    """The split that a file of a data set belongs to, by the first word of its name (`train-00003.tar`) or the name
    of its folder (`val/3.tar`); empty where neither is a split's word."""
    first = re.split(r"[^A-Za-z]", file.name)[0]
    return next((word for word in (first, file.parent.name) if word.casefold() in SPLIT_WORDS), "")


def read_error(path: Path, error: Exception) -> DataError:
    """What is said of a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"there is no file {path}", "check the path given to --data")
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"cannot read {path}: {error.strerror}", "check that it is a file that you may read")
    return DataError(f"cannot read {path}: {plain(str(error))}", "restore it or make it anew")


def _once(rows: Sequence[Row], where: str) -> tuple[list[Row], int]:
    """Each picture once, and how many rows were repeats."""
    by_place: dict[str, Row] = {}
    for row in rows:
        if not row.label.strip():
            raise DataError(f"{row.said} of {where} has no label", "give every picture the name of its class")
        other = by_place.setdefault(row.picture.place, row)
        if (other.label, other.split) != (row.label, row.split):
            raise DataError(
                f"{where} says two things of {row.picture.name}: {_claim(other)} and {_claim(row)}",
                "keep one row for each picture",
            )
    return list(by_place.values()), len(rows) - len(by_place)


def _claim(row: Row) -> str:
    return plain(f"{row.label}{' in ' + row.split if row.split else ''} ({row.said})")


def _parts(rows: Sequence[Row], where: str) -> dict[str, dict[str, list[Candidate]]]:
    """Part ("all" or train, val, test) -> class -> pictures."""
    found: dict[str, dict[str, list[Candidate]]] = {}
    first_of: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row.label, row.picture.name, row.picture.place)):
        part = SPLIT_WORDS.get(row.split.strip().casefold()) if row.split.strip() else "all"
        if part is None:
            raise DataError(
                f"{row.said} of {where} has the split {plain(row.split)!r}",
                f"a split is one of {', '.join(SPLIT_WORDS)}; without any, pictures are split here",
            )
        first_of.setdefault(part, row)
        found.setdefault(part, {}).setdefault(row.label, []).append(row.picture)
    if "all" in found and len(found) > 1:
        named = next(first_of[part] for part in found if part != "all")
        raise DataError(
            f"{where} gives some pictures a split and others none: {_claim(named)}, none to {first_of['all'].said}",
            "give every picture a split, or none",
        )
    if not {"all", "train"} & set(found):
        raise DataError(f"{where} has pictures to {' and '.join(found)} and none to train", "name some of them train")
    return found
