"""COCO JSON with a class for each picture, as camera traps are published (COCO Camera Traps, LILA BC).

`images` have a `file_name` relative to the JSON file's folder, `annotations` give them a `category_id`, `categories`
its name. An image may carry a `split`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.readers.listing import FileRow, load_file_rows, read_error
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

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
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def load_coco(path: Path, *, seed: int, cache_dir: Path | None = None, on_progress: Progress | None = None) -> Dataset:
    """The pictures of a COCO file that show one class, checked and split; the others are counted in the notes.

    Raises DataError for a file that is not COCO, and as `listing.load_file_rows` does.
    """
    document = _read(path)
    names = {category.id: category.name for category in document.categories}
    shown: dict[_Id, set[str]] = defaultdict(set)
    for annotation in document.annotations:
        if annotation.category_id not in names:
            raise DataError(
                f"{path} annotates image {annotation.image_id!r} with the category {annotation.category_id!r}, "
                f"which is none of its {len(names)} categories",
                "add it to `categories`",
            )
        shown[annotation.image_id].add(names[annotation.category_id])
    listed = [
        FileRow(image.file_name, next(iter(shown[image.id])), image.split, f"image {image.id}")
        for image in document.images
        if len(shown[image.id]) == 1
    ]
    counts = {
        "no annotation": sum(not shown[image.id] for image in document.images),
        "annotations of several categories": sum(len(shown[image.id]) > 1 for image in document.images),
    }
    notes = [f"{count} images with {what} were not used" for what, count in counts.items() if count]
    return load_file_rows(listed, beside=path, seed=seed, notes=notes, cache_dir=cache_dir, on_progress=on_progress)


def _read(path: Path) -> _Document:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise read_error(path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not COCO JSON: {plain(str(error))}",
            "it has lists `images` (id, file_name), `annotations` (image_id, category_id) and `categories` (id, name)",
        ) from error
