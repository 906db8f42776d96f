"""Who took which photograph: the ATTRIBUTION.csv of a data set."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePath

from edgefit_toolkit.data.dataset import Credit
from edgefit_toolkit.progress import plain

FILE = "ATTRIBUTION.csv"  # beside classes or splits; columns file (relative to it), photographer, license[, source_url]


def _look_up(table: Mapping[str, Credit], folder: PurePath, name: str) -> Credit | None:
    return table.get((folder / name).as_posix())


def _no_credit(name: str) -> Credit | None:
    return None


class Attributions:
    """The tables that lie above the photographs of one data set, each read once. `notes` says what is odd in them."""

    def __init__(self) -> None:
        self._tables: dict[Path, dict[str, Credit] | None] = {}
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

    def _read(self, path: Path) -> dict[str, Credit] | None:
        """File -> credit; None where there is no table. Rows without a photographer or licence are left out."""
        if not path.is_file():
            return None
        try:
            raw = path.read_bytes()
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = raw.decode("cp1252", "replace")  # what a spreadsheet saves on Windows, and Latin-1 with it
                self.notes.append(f"{plain(str(path))} is not UTF-8: read as Windows-1252")
            found: dict[str, Credit] = {}
            for row in csv.DictReader(io.StringIO(text, newline="")):
                file, author, license = row.get("file"), row.get("photographer"), row.get("license")
                if file and author and license:
                    found[file] = Credit(file, plain(author), plain(license), plain(row.get("source_url") or ""))
        except (OSError, csv.Error) as error:
            self.notes.append(f"{plain(str(path))} cannot be read, and its photographers are not named: {error}")
            return {}
        return found
