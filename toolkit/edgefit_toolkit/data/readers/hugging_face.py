"""`hf:`: a data set of the Hugging Face hub, by the datasets library, or a folder with a copy of its Parquet files."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple

from edgefit_toolkit.data.dataset import SPLIT_WORDS, About, Candidate, Dataset, Stamp
from edgefit_toolkit.data.readers import extras, parquet_pictures
from edgefit_toolkit.data.readers.listing import Listed, load_rows, split_of
from edgefit_toolkit.data.texts import Texts, Words
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.files import key_of
from edgefit_toolkit.progress import Progress, plain

_LABELS = ("label", "labels", "class", "species")  # columns that are taken for it where there is no single ClassLabel


class Columns(NamedTuple):
    """Which columns of a data set hold the picture and its label, and how the label's numbers are called."""

    image: str
    label: str
    names: tuple[str, ...]  # of a ClassLabel; empty where labels are what they say

    def name_of(self, label: Any) -> str:
        """The class that a cell means; empty for none (the hub writes -1 for an unknown label)."""
        if label is None:
            return ""
        if not isinstance(label, int | str):
            raise DataError(f"the label column {plain(self.label)} holds {plain(str(label))}", "one class a picture")
        if not self.names or isinstance(label, str):
            return str(label)
        return self.names[label] if 0 <= label < len(self.names) else ""


def load_hugging_face(named: str, *, seed: int, cache_dir: Path, on_progress: Progress | None = None) -> Dataset:
    """The pictures of `owner/name[:config]` or `DIR[:config]`, checked and split.

    Raises DataError where it cannot be had, has no pictures or labels, or as `listing.load_rows` does.
    """
    whole = Path(named).expanduser().is_dir()
    place, config = (named, "") if whole else named.partition(":")[::2]
    folder = Path(place).expanduser()
    if any(folder.rglob("*.parquet")):
        listed = _local(folder, config, cache_dir, on_progress)
        name, notes = folder.resolve().name, list[str]()
    else:
        listed, notes = _fetched(str(folder) if folder.is_dir() else place, config)
        name = folder.resolve().name if folder.is_dir() else place
    about = About(where=plain(f"hf:{named}"), name=plain(name), notes=tuple(notes))
    return load_rows(listed, about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def choose_columns(features: Mapping[str, Any], where: str) -> Columns:
    """The columns of a data set's features, as the hub writes them: name -> {"_type": "Image"}, {"_type":
    "ClassLabel", "names": [...]} or others. Raises DataError where the picture's or the label's is not clear."""
    kinds = {name: kind.get("_type") if isinstance(kind, Mapping) else None for name, kind in features.items()}
    has = plain(", ".join(f"{name} ({kind or 'nested'})" for name, kind in kinds.items()))
    images = [name for name, kind in kinds.items() if kind == "Image"]
    if len(images) != 1:
        raise DataError(
            f"{plain(where)} has {len(images) or 'no'} columns of images; its columns are {has}",
            "name a data set of labelled pictures with one column of them",
        )
    classed = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    known = [name for name in _LABELS if name in features]
    choice = known[:1] if known and (not classed or known[0] in classed) else classed
    if len(choice) != 1:
        raise DataError(
            f"{plain(where)} has {len(choice) or 'no'} columns of labels; its columns are {has}",
            f"a label is the one ClassLabel column or the one called {', '.join(_LABELS)}",
        )
    label = choice[0]
    names = features[label].get("names") if kinds[label] == "ClassLabel" else None
    return Columns(images[0], label, tuple(names or ()))


def _local(folder: Path, config: str, cache_dir: Path, on_progress: Progress | None) -> Listed:
    files = parquet_pictures.files_of(folder, config)
    features = parquet_pictures.features_of(files[0])
    columns = choose_columns(features, str(files[0].relative_to(folder)))
    by_column = "split" in features and not any(split_of(file.relative_to(folder)) for file in files)
    split = "split" if by_column else None
    found = parquet_pictures.read(folder, files, columns.image, columns.label, split, cache_dir, on_progress)
    labels = Words(columns.name_of(json.loads(label.as_py())) for label in found.columns["label"])
    return Listed(found, labels, Words(map(str, found.columns["split"])), found.said)


class _Part(NamedTuple):
    """A split as the datasets library has it."""

    split: str
    column: str  # of the pictures
    pictures: Any
    first: int  # of its rows, among those of all
    kept: Stamp | None  # the library's own files, which are mapped; None where it has all in memory

    def cell(self, index: int) -> Any:
        """Arrow's {"bytes", "path"} of a row: nothing is copied."""
        return self.pictures.data.column(self.column)[index]


@dataclass(frozen=True, slots=True)
class FetchedPicture:
    """The opener of a picture as the datasets library has it: in a file of its own, or in one of the library's."""

    part: _Part
    index: int

    def __call__(self) -> BinaryIO:
        """Its bytes."""
        cell = self.part.cell(self.index)
        inside = cell["bytes"].as_py()
        return Path(cell["path"].as_py()).open("rb") if inside is None else io.BytesIO(inside)

    def stamp(self) -> Stamp:
        """Its file's; or its own size, and the time of the last of the library's files. Raises OSError."""
        cell, kept = self.part.cell(self.index), self.part.kept
        if not cell["bytes"].is_valid:
            path = os.path.abspath(cell["path"].as_py())
            found = os.stat(path)
            return Stamp(path, found.st_size, found.st_mtime_ns)
        if kept is None:
            raise FileNotFoundError(errno.ENOENT, "it lies in memory alone", self.part.split)
        return kept._replace(place=f"{kept.place}:{self.index}", size_bytes=cell["bytes"].as_buffer().size)


@dataclass
class Fetched:
    """Pictures as the datasets library has them; of a row, its picture."""

    place: str
    parts: list[_Part] = field(default_factory=list)
    names: Texts = field(default_factory=Texts)

    def add(self, split: str, column: str, pictures: Any) -> None:
        """The rows of a split, whose column holds pictures."""
        self.parts.append(_Part(split, column, pictures, len(self.names), _kept(pictures)))
        for index, path in enumerate(_file_names(pictures, column)):
            self.names.append(PurePath(path or "").name or f"{split}-{index:07d}")

    def __call__(self, row: int) -> Candidate:
        """The picture of a row."""
        part = self._part(row)
        return Candidate(
            name=plain(self.names[row]),
            place=plain(f"{self.place}: {self.said(row)}"),
            opener=FetchedPicture(part, row - part.first),
        )

    def said(self, row: int) -> str:
        """Where it is, for messages."""
        part = self._part(row)
        return f"row {row - part.first + 1} of {part.split}"

    def _part(self, row: int) -> _Part:
        found: _Part = next(part for part in reversed(self.parts) if part.first <= row)
        return found


def _fetched(place: str, config: str) -> tuple[Listed, list[str]]:
    library = extras.need("datasets", "hf", f"hf:{place}")
    faults = (OSError, ValueError, library.exceptions.DatasetsError)
    try:
        found = library.load_dataset(place, config or None)
    except faults as error:
        raise DataError(
            f"the data set {plain(place)} cannot be had: {plain(str(error).strip())}",
            "name it as the hub does, hf:owner/name[:config], or a folder with its Parquet files, hf:DIR",
        ) from error
    rows, labels, splits, notes = Fetched(place), Words(), Words(), []
    for split, part in found.items():
        if len(found) > 1 and split not in SPLIT_WORDS:
            notes.append(f"{split} is no split that is trained or judged on and was not used ({len(part)} rows)")
            continue
        columns = choose_columns(part.features.to_dict(), place)
        pictures = part.select_columns([columns.image]).cast_column(columns.image, library.Image(decode=False))
        rows.add(split, columns.image, pictures)
        for label in part[columns.label]:
            labels.append(columns.name_of(label))
            splits.append(split if split in SPLIT_WORDS else "")
    return Listed(rows, labels, splits, rows.said), notes


def _file_names(pictures: Any, column: str) -> Iterator[str | None]:
    """What the pictures' files were called, without a look at their bytes."""
    for table in pictures.with_format("arrow").iter(1000):
        for chunk in table.column(column).chunks:
            yield from chunk.field("path").to_pylist()


def _kept(pictures: Any) -> Stamp | None:
    """The files in which the library has a split's rows, as they lie there now."""
    stats = [(file["filename"], os.stat(file["filename"])) for file in pictures.cache_files]
    if not stats:
        return None
    key = key_of(files=[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
    return Stamp(key, sum(stat.st_size for _, stat in stats), max(stat.st_mtime_ns for _, stat in stats))
