"""Who took which photograph: the ATTRIBUTION.csv of a data set."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePath
from zlib import crc32

import numpy as np

from edgefit_toolkit.data.dataset import Credit
from edgefit_toolkit.data.texts import Texts, Words
from edgefit_toolkit.progress import plain

FILE = "ATTRIBUTION.csv"  # beside classes or splits; columns file (relative to it), photographer, license[, source_url]


class Credits:
    """The rows of a table in columns, some hundred bytes each: files, and their credits."""

    def __init__(self, rows: Iterable[Credit]) -> None:
        self._files, self._urls, self._authors, self._licenses = Texts(), Texts(), Words(), Words()
        sums = array("I")
        for row in rows:
            self._files.append(row.file)
            self._urls.append(row.url)
            self._authors.append(row.author)
            self._licenses.append(row.license)
            sums.append(_sum(row.file))
        found = np.frombuffer(sums, np.uint32)
        self._order = np.argsort(found, kind="stable").astype(np.int32)
        self._sums = found[self._order]

    def of(self, file: str) -> Credit | None:
        """The last row that says this file."""
        first, end = (np.searchsorted(self._sums, np.uint32(_sum(file)), side) for side in ("left", "right"))
        for row in map(int, self._order[first:end][::-1]):
            if self._files[row] == file:
                return Credit(file, self._authors[row], self._licenses[row], self._urls[row])
        return None


def _sum(file: str) -> int:
    return crc32(file.encode("utf-8", "surrogatepass"))  # of a name in no encoding, too


def _look_up(table: Credits, folder: PurePath, name: str) -> Credit | None:
    return table.of((folder / name).as_posix())


def _no_credit(name: str) -> Credit | None:
    return None


class Attributions:
    """The tables that lie above the photographs of one data set, each read once. `notes` says what is odd in them."""

    def __init__(self) -> None:
        self._tables: dict[Path, Credits | None] = {}
        self.notes: list[str] = []

    def credit_of(self, photo: Path) -> Credit | None:
        """The photograph's credit, from the nearest table in the three folders above it."""
        return self.beside(photo.parent)(photo.name)

    def beside(self, folder: Path) -> Callable[[str], Credit | None]:
        """The credits of the photographs in a folder, by their names."""
        absolute = folder.absolute()
        for above in (absolute, *absolute.parents[:2]):
            if above not in self._tables:
                self._tables[above] = self._read(above / FILE)
            table = self._tables[above]
            if table is not None:
                return partial(_look_up, table, absolute.relative_to(above))
        return _no_credit

    def _read(self, path: Path) -> Credits | None:
        """None where there is no table. Rows without a photographer or licence are left out."""
        if not path.is_file():
            return None
        try:
            try:
                return Credits(_rows(path, "utf-8-sig"))
            except UnicodeDecodeError:
                self.notes.append(f"{plain(str(path))} is not UTF-8: read as Windows-1252")
                return Credits(_rows(path, "cp1252"))  # what a spreadsheet saves on Windows, and Latin-1 with it
        except (OSError, csv.Error) as error:
            self.notes.append(f"{plain(str(path))} cannot be read, and its photographers are not named: {error}")
            return Credits(())


def _rows(path: Path, encoding: str) -> Iterator[Credit]:
    with path.open(encoding=encoding, errors="strict" if encoding == "utf-8-sig" else "replace", newline="") as lines:
        for row in csv.DictReader(lines):
            file, author, license = row.get("file"), row.get("photographer"), row.get("license")
            if file and author and license:
                yield Credit(file, plain(author), plain(license), plain(row.get("source_url") or ""))
