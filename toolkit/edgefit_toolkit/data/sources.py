"""The door to the pictures: `load_dataset` finds, checks and splits them, `load_pixels` brings them into memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PIL import Image

from edgefit_toolkit.data.augmentation import augment, augmentation_rng, room_for_augmentation
from edgefit_toolkit.data.dataset import Dataset, Photo, Skipped, StageProgress
from edgefit_toolkit.data.folder import load_folder
from edgefit_toolkit.data.preprocessing import (
    BROKEN_IMAGE,
    Pixels,
    WorkedPixel,
    apply,
    open_upright,
    preprocessing_for,
    quiet_pillow,
    to_network_input,
    worked_pixel,
)
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.records import Preprocessing

__all__ = [
    "DEMO",
    "FLOWERS",
    "Dataset",
    "Photo",
    "Pixels",
    "Skipped",
    "WorkedPixel",
    "apply",
    "augment",
    "augmentation_rng",
    "labels",
    "load_dataset",
    "load_pixels",
    "open_photo",
    "preprocessing_for",
    "room_for_augmentation",
    "to_network_input",
    "worked_pixel",
]

DEMO = "demo"
FLOWERS = "flowers"


def load_dataset(
    data: str | None,
    *,
    seed: int,
    cache_dir: Path | None = None,
    on_progress: StageProgress | None = None,
) -> Dataset:
    """The pictures that --data names, checked and split.

    None or "demo" is the embedded set of drawn plants, "flowers" TensorFlow's flower_photos (fetched once), anything
    else a folder. `cache_dir` defaults to the user's cache. Raises DataError, or DownloadError for "flowers".
    """
    cache = cache_dir if cache_dir is not None else platformdirs.user_cache_path("edgefit")
    if data is None or data == DEMO:
        from edgefit_toolkit.data.demo import drawn_set

        return drawn_set.load(seed=seed, cache_dir=cache, on_progress=on_progress)
    if data == FLOWERS:
        from edgefit_toolkit.data import flower_photos

        return flower_photos.load(seed=seed, cache_dir=cache, on_progress=on_progress)
    return load_folder(Path(data).expanduser(), seed=seed, on_progress=on_progress)


def open_photo(photo: Photo) -> Image.Image:
    """The whole photograph, upright RGB. Raises DataError when it cannot be read any more."""
    try:
        with quiet_pillow():
            return open_upright(photo.path)
    except BROKEN_IMAGE as error:
        raise _gone(photo, error) from error


def load_pixels(
    photos: Sequence[Photo],
    preprocessing: Preprocessing,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """uint8 [N, R, R, 3] in the order of `photos`. `on_progress(done, total)` is called from this thread.

    Raises DataError when a photograph that was fine at the check cannot be read any more.
    """
    resolution_px = preprocessing.resolution_px
    pixels = np.empty((len(photos), resolution_px, resolution_px, 3), dtype=np.uint8)

    def load(index: int) -> None:
        try:
            pixels[index] = apply(open_upright(photos[index].path), preprocessing)
        except BROKEN_IMAGE as error:
            raise _gone(photos[index], error) from error

    with quiet_pillow(), ThreadPoolExecutor(workers or min(32, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(load, range(len(photos))), start=1):
            if on_progress is not None:
                on_progress(done, len(photos))
    return pixels


def _gone(photo: Photo, error: Exception) -> DataError:
    return DataError(f"{photo.path} cannot be read any more: {error}", "restore it, or start again without it")


def labels(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """int64 [N]: indices into Dataset.classes."""
    return np.array([photo.label for photo in photos], dtype=np.int64)
