"""Photographs in memory: pixels as a network takes them, labels, and single pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgefit_toolkit.data.dataset import Candidate, Photo
from edgefit_toolkit.data.decoding import BrokenPicture, Pixels, decode, quiet_pillow
from edgefit_toolkit.data.preprocessing import apply
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import Preprocessing


def load_pixels(
    photos: Sequence[Candidate],
    preprocessing: Preprocessing,
    workers: int | None = None,
    on_progress: Progress | None = None,
    label: str = "reading pictures",
    into: Pixels | None = None,
) -> Pixels:
    """uint8 [N, R, R, 3] in the order of `photos`, in memory or where `into` lies.

    `on_progress(label, done, total)` is called from this thread.

    Raises DataError when a photograph that was fine at the check cannot be read any more.
    """
    resolution_px = preprocessing.resolution_px
    pixels = np.empty((len(photos), resolution_px, resolution_px, 3), dtype=np.uint8) if into is None else into

    def load(index: int) -> None:
        pixels[index] = apply(_decoded(photos[index]), preprocessing)

    with quiet_pillow(), ThreadPoolExecutor(workers or min(32, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(load, range(len(photos))), start=1):
            if on_progress is not None:
                on_progress(label, done, len(photos))
    return pixels


def usable_pixels(
    pictures: Sequence[Candidate], preprocessing: Preprocessing, on_progress: Progress
) -> Iterator[Pixels]:
    """uint8 [R, R, 3] of each picture that can be read, in order; the others are left out."""
    with quiet_pillow():
        for done, picture in enumerate(pictures, start=1):
            try:
                yield apply(decode(picture), preprocessing)
            except BrokenPicture:
                continue
            finally:
                on_progress("reading photographs", done, len(pictures))


def open_photo(photo: Candidate, least_px: int | None = None) -> Image.Image:
    """The whole photograph, upright RGB, as `decode` says. Raises DataError when it cannot be read any more."""
    with quiet_pillow():
        return _decoded(photo, least_px)


def side_px(photo: Candidate) -> int:
    """The shorter side of the picture in its file, from its header. Raises DataError as `open_photo` does."""
    with quiet_pillow():
        try:
            with photo.open() as stream, Image.open(stream) as picture:
                return min(picture.size)
        except (OSError, SyntaxError, Image.DecompressionBombError):
            return min(_decoded(photo).size)  # which says what is wrong with it


def _decoded(photo: Candidate, least_px: int | None = None) -> Image.Image:
    try:
        return decode(photo, least_px)
    except BrokenPicture as broken:
        raise DataError(
            f"{photo.place} cannot be read any more: {broken}", "restore it, or start again without it"
        ) from broken


def labels(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """int64 [N]: indices into Dataset.classes."""
    return np.array([photo.label for photo in photos], dtype=np.int64)
