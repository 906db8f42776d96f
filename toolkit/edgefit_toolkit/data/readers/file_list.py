"""Picture files that another file lists, each with its class."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgefit_toolkit.data.dataset import NOT_SEEN, About, Candidate, Credit, Dataset, Seen
from edgefit_toolkit.data.readers.attribution import Attributions
from edgefit_toolkit.data.readers.folder import file_candidate
from edgefit_toolkit.data.readers.listing import Listed, load_rows
from edgefit_toolkit.data.texts import Texts, Words
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain


@dataclass
class FileList:
    """What the file `beside` says of its pictures, in columns; of a row, its picture."""

    beside: Path
    paths: Texts = field(default_factory=Texts)  # as it writes them: absolute, or relative to its folder
    labels: Words = field(default_factory=Words)
    splits: Words = field(default_factory=Words)
    regions: Words = field(default_factory=Words)  # where and when, if it says so
    months: array[int] = field(default_factory=lambda: array("b"))

    def __post_init__(self) -> None:
        self.tables = Attributions()
        self._folder = str(self.beside.parent)
        self._credits: dict[str, Callable[[str], Credit | None]] = {}  # of a folder's pictures

    def path(self, row: int) -> str:
        """Where the file of a row lies."""
        return os.path.normpath(os.path.join(self._folder, os.path.expanduser(self.paths[row])))

    def __call__(self, row: int) -> Candidate:
        """The picture of a row."""
        path = self.path(row)
        folder, name = os.path.split(path)
        if folder not in self._credits:
            self._credits[folder] = self.tables.beside(Path(folder))
        seen = Seen(self.regions[row], self.months[row]) if self.regions else NOT_SEEN
        return file_candidate(path, name, self._credits[folder](name), seen)


def load_files(
    listed: FileList,
    said: Callable[[int], str],
    *,
    seed: int,
    notes: Sequence[str] = (),
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Checks and splits the files; `said` tells where a row stands, for messages.

    A file that is missing is left out and named like a damaged one. Raises DataError as `listing.load_rows` does, and
    where none of the files is there.
    """
    beside, count = listed.beside, len(listed.paths)
    for row, path in enumerate(listed.paths):
        if not path:
            raise DataError(f"{said(row)} of {beside} names no picture", "give its path or remove the row")
        listed(row)  # which reads the tables that lie beside it
    if count and not any(os.path.exists(listed.path(row)) for row in range(count)):
        raise DataError(
            f"none of the {count} pictures that {beside} lists is there: the first would be {listed.path(0)}",
            f"paths are absolute or relative to {beside.parent.absolute()}",
        )
    rows = Listed(listed, listed.labels, listed.splits, said)
    about = About(where=plain(str(beside)), name=plain(beside.stem), notes=(*notes, *listed.tables.notes))
    return load_rows(rows, about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)
