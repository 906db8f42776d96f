"""COCO JSON with a class for each picture, as camera traps are published (COCO Camera Traps, LILA BC).

`images` have a `file_name` relative to the JSON file's folder, `annotations` give them a `category_id`, `categories`
its name. An image may carry a `split`.
"""

from __future__ import annotations

import mmap
import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.readers.file_list import FileList, load_files
from edgefit_toolkit.data.readers.listing import read_error
from edgefit_toolkit.data.texts import Texts, Words
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

T = TypeVar("T")
_Id = int | str


class _Image(msgspec.Struct):
    id: _Id
    file_name: str
    split: str = ""


class _Annotation(msgspec.Struct):
    image_id: _Id
    category_id: _Id


class _Category(msgspec.Struct):
    id: _Id
    name: str


class _Document(msgspec.Struct):
    images: msgspec.Raw  # as they stand in the file, which is mapped: read one by one
    annotations: msgspec.Raw
    categories: list[_Category]


def load_coco(path: Path, *, seed: int, cache_dir: Path | None = None, on_progress: Progress | None = None) -> Dataset:
    """The pictures of a COCO file that show one class, checked and split; the others are counted in the notes.

    Raises DataError for a file that is not COCO, and as `file_list.load_files` does.
    """
    listed, ids, notes = _listed(path)
    said = partial(_said, ids)
    return load_files(listed, said, seed=seed, notes=notes, cache_dir=cache_dir, on_progress=on_progress)


def _said(ids: Texts, row: int) -> str:
    return f"image {ids[row]}"


def _listed(path: Path) -> tuple[FileList, Texts, list[str]]:
    """The images that show one class, their ids, and sentences on the others."""
    listed, ids = FileList(path), Texts()
    left_out = {"no annotation": 0, "annotations of several categories": 0}
    with _read(path) as raw:
        document = msgspec.json.decode(raw, type=_Document)
        shown = _Shown(path, document)
        for image in _each(document.images, _Image):
            names = shown.by(image.id)
            if len(names) != 1:
                left_out["annotations of several categories" if names else "no annotation"] += 1
                continue
            ids.append(str(image.id))
            listed.paths.append(image.file_name)
            listed.labels.append(*names)
            listed.splits.append(image.split)
    return listed, ids, [f"{count} images with {what} were not used" for what, count in left_out.items() if count]


class _Shown:
    """Which classes images show; twelve bytes an annotation, which hold a hash of its image's id."""

    def __init__(self, path: Path, document: _Document) -> None:
        names = {category.id: category.name for category in document.categories}
        hashes, classes = array("q"), Words()
        for annotation in _each(document.annotations, _Annotation):
            name = names.get(annotation.category_id)
            if name is None:
                raise DataError(
                    f"{path} annotates image {annotation.image_id!r} with the category {annotation.category_id!r}, "
                    f"which is none of its {len(names)} categories",
                    "add it to `categories`",
                )
            hashes.append(_hash(annotation.image_id))
            classes.append(name)
        self._names = classes.names
        order = np.lexsort((classes.codes, hashes))
        self._hashes, self._codes = (
            array(one.typecode, np.asarray(one)[order].tobytes()) for one in (hashes, classes.codes)
        )

    def by(self, image: _Id) -> set[str]:
        """The class, or two of several, that an image shows."""
        wanted = _hash(image)
        first, end = bisect_left(self._hashes, wanted), bisect_right(self._hashes, wanted)
        return {self._names[self._codes[at]] for at in (first, end - 1) if first < end}


def _each(raw: msgspec.Raw, kind: type[T]) -> Iterator[T]:
    """The members of a list, of which no more than where they lie is held."""
    return map(msgspec.json.Decoder(kind).decode, msgspec.json.decode(raw, type=list[msgspec.Raw]))


def _hash(image: _Id) -> int:
    return hash(repr(image))  # an id may be 7 or "7"; hash(-1) is that of -2


@contextmanager
def _read(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The file's bytes, mapped and not in memory; what is wrong with them becomes DataError."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:  # nothing can be mapped
                yield b""
                return
            yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # until nothing of it is looked at any more
    except OSError as error:
        raise read_error(path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not COCO JSON: {plain(str(error))}",
            "it has lists `images` (id, file_name), `annotations` (image_id, category_id) and `categories` (id, name)",
        ) from error
