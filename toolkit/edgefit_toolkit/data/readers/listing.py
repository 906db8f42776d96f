"""A list of labelled pictures becomes a data set: what tables, archives and hubs have in common.

Classes are in the order of their names and pictures in that of theirs, as in a folder: how the list was sorted and
where the bytes lie changes neither the split nor what is trained. The list is in columns, and a picture is made of
them when it is asked for: of millions little more than what the list says is held.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.assembly import assemble
from edgefit_toolkit.data.dataset import SPLIT_WORDS, About, Candidate, Dataset
from edgefit_toolkit.data.texts import Words
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain


@dataclass(frozen=True)
class Listed:
    """What a source says of its pictures: row by row, in columns."""

    picture: Callable[[int], Candidate]  # of a row; it travels to other processes
    labels: Words
    splits: Words  # in the source's own words; empty where it has none
    said: Callable[[int], str]  # where the source says so, for messages: "row 7"

    def claim(self, row: int) -> str:
        """What it says of a picture, for messages."""
        split = self.splits[row]
        return plain(f"{self.labels[row]}{' in ' + split if split else ''} ({self.said(row)})")


@dataclass(frozen=True)
class Rows(Sequence[Candidate]):
    """The pictures of some rows."""

    picture: Callable[[int], Candidate]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return Rows(self.picture, self.rows[index]) if isinstance(index, slice) else self.picture(self.rows.item(index))


def load_rows(
    listed: Listed,
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
    if not listed.labels:
        raise DataError(f"{where} lists no pictures", "name a source with at least two classes of pictures")
    for name in listed.labels.names:
        if not name.strip():
            said = listed.said(listed.labels.index(name))
            raise DataError(f"{said} of {where} has no label", "give every picture the name of its class")
    repeats = _repeats(listed, where)
    if repeats:
        about = replace(about, notes=(*about.notes, f"{len(repeats)} rows repeat another and were read once"))
    return assemble(_parts(listed, repeats, where), about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


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


def _repeats(listed: Listed, where: str) -> list[int]:
    """The rows whose picture another one has named before."""
    count = len(listed.labels)
    hashes = np.fromiter((hash(listed.picture(row).place) for row in range(count)), np.int64, count)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    alike = np.flatnonzero(hashes[1:] == hashes[:-1])
    first: dict[str, int] = {}
    found = []
    for row in np.unique(np.concatenate((order[alike], order[alike + 1]))).tolist():
        picture = listed.picture(row)
        other = first.setdefault(picture.place, row)
        if (listed.labels[other], listed.splits[other]) != (listed.labels[row], listed.splits[row]):
            raise DataError(
                f"{where} says two things of {picture.name}: {listed.claim(other)} and {listed.claim(row)}",
                "keep one row for each picture",
            )
        if other != row:
            found.append(row)
    return found


def _parts(listed: Listed, repeats: Sequence[int], where: str) -> dict[str, dict[str, Rows]]:
    """Part ("all" or train, val, test) -> class -> pictures."""
    words = {}
    for word in listed.splits.names:
        part = SPLIT_WORDS.get(word.strip().casefold()) if word.strip() else "all"
        if part is None:
            raise DataError(
                f"{listed.said(listed.splits.index(word))} of {where} has the split {plain(word)!r}",
                f"a split is one of {', '.join(SPLIT_WORDS)}; without any, pictures are split here",
            )
        words[word] = part
    parts = sorted(set(words.values()))
    first_of = {part: listed.splits.index(word) for word, part in reversed(words.items())}
    if "all" in parts and len(parts) > 1:
        named = listed.claim(first_of[parts[1]])
        raise DataError(
            f"{where} gives some pictures a split and others none: {named}, none to {listed.said(first_of['all'])}",
            "give every picture a split, or none",
        )
    if not {"all", "train"} & set(parts):
        raise DataError(f"{where} has pictures to {' and '.join(parts)} and none to train", "name some of them train")
    names = sorted(listed.labels.names)
    rank = {name: number for number, name in enumerate(names)}
    at = np.array([rank[name] for name in listed.labels.names])
    group = np.array([parts.index(part) for part in words.values()])[np.asarray(listed.splits.codes)] * len(names)
    group += at[np.asarray(listed.labels.codes)]
    group[list(repeats)] = len(parts) * len(names)
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], range(len(parts) * len(names) + 1))
    found: dict[str, dict[str, Rows]] = {part: {} for part in parts}

    def by_name(row: int) -> tuple[str, str]:
        picture = listed.picture(row)
        return picture.name, picture.place

    for number, (start, end) in enumerate(itertools.pairwise(ends.tolist())):
        if end > start:
            rows = np.array(sorted(order[start:end].tolist(), key=by_name))
            found[parts[number // len(names)]][names[number % len(names)]] = Rows(listed.picture, rows)
    return found
