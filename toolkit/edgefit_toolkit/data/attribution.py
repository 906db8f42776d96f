"""Who took which photograph: the ATTRIBUTION.csv of a data set."""

from __future__ import annotations

import csv
from pathlib import Path

from edgefit_toolkit.data.dataset import Credit

FILE = "ATTRIBUTION.csv"  # beside classes or splits; columns file (relative to it), photographer, license[, source_url]


class Attributions:
    """The tables that lie above the photographs of one data set, each read once."""

    def __init__(self) -> None:
        self._tables: dict[Path, dict[str, Credit] | None] = {}

    def credit_of(self, photo: Path) -> Credit | None:
        """The photograph's credit, from the nearest table in the three folders above it."""
        absolute = photo.absolute()
        for folder in absolute.parents[:3]:
            if folder not in self._tables:
                self._tables[folder] = _read(folder / FILE)
            table = self._tables[folder]
            if table is not None:
                return table.get(absolute.relative_to(folder).as_posix())
        return None


def _read(path: Path) -> dict[str, Credit] | None:
    """File -> credit; None where there is no such table. Rows without a photographer or licence are left out."""
    if not path.is_file():
        return None
    found: dict[str, Credit] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            file, author, license = row.get("file"), row.get("photographer"), row.get("license")
            if file and author and license:
                found[file] = Credit(file, author, license, row.get("source_url") or "")
    return found
