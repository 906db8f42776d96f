"""COCO JSON with a class for each picture, as camera traps are published (COCO Camera Traps, LILA BC).

`images` have a `file_name` relative to the JSON file's folder, `annotations` give them a `category_id`, `categories`
its name. An image may carry a `split`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.readers.file_list import FileList, load_files
from edgefit_toolkit.data.readers.listing import read_error
from edgefit_toolkit.data.texts import Texts
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

    Raises DataError for a file that is not COCO, and as `file_list.load_files` does.
    """
    listed, ids, notes = _listed(path, _read(path))
    said = partial(_said, ids)
    return load_files(listed, said, seed=seed, notes=notes, cache_dir=cache_dir, on_progress=on_progress)


def _said(ids: Texts, row: int) -> str:
    return f"image {ids[row]}"


def _listed(path: Path, document: _Document) -> tuple[FileList, Texts, list[str]]:
    """The images that show one class, their ids, and sentences on the others."""
    names = {category.id: category.name for category in document.categories}
    shown: dict[_Id, str | None] = {}  # None: several
    for annotation in document.annotations:
        name = names.get(annotation.category_id)
        if name is None:
            raise DataError(
                f"{path} annotates image {annotation.image_id!r} with the category {annotation.category_id!r}, "
                f"which is none of its {len(names)} categories",
                "add it to `categories`",
            )
        shown[annotation.image_id] = name if shown.get(annotation.image_id, name) == name else None
    listed, ids = FileList(path), Texts()
    left_out = {"no annotation": 0, "annotations of several categories": 0}
    for image in document.images:
        label = shown.get(image.id, "")
        if label is None or image.id not in shown:
            left_out["no annotation" if label is not None else "annotations of several categories"] += 1
            continue
        ids.append(str(image.id))
        listed.paths.append(image.file_name)
        listed.labels.append(label)
        listed.splits.append(image.split)
    return listed, ids, [f"{count} images with {what} were not used" for what, count in left_out.items() if count]


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
