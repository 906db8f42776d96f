"""Photographs in memory: pixels as a network takes them, labels, and single pictures."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgefit_toolkit.data.dataset import Candidate
from edgefit_toolkit.data.decoding import BrokenPicture, Pixels, decode, quiet_pillow
from edgefit_toolkit.data.preprocessing import apply
from edgefit_toolkit.errors import DataError, OutputError
from edgefit_toolkit.files import take_room
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import Preprocessing

IN_MEMORY_BYTES = 100_000_000  # of pixels; more lie in a file where there is a place for it
AT_ONCE = 4096  # pictures for which a thread is waiting


def load_pixels(
    photos: Sequence[Candidate],
    preprocessing: Preprocessing,
    workers: int | None = None,
    on_progress: Progress | None = None,
    label: str = "reading pictures",
    folder: Path | None = None,
) -> Pixels:
    """uint8 [N, R, R, 3] in the order of `photos`. `on_progress(label, done, total)` is called from this thread.

    With a `folder` more than IN_MEMORY_BYTES lie in a mapped file there, which goes with the array.

    Raises DataError when a photograph that was fine at the check cannot be read any more, OutputError when the disk
    is full.
    """
    pixels = _room((len(photos), preprocessing.resolution_px, preprocessing.resolution_px, 3), folder)

    def load(index: int) -> None:
        pixels[index] = apply(_decoded(photos[index]), preprocessing)

    with quiet_pillow(), ThreadPoolExecutor(workers or min(32, os.cpu_count() or 1)) as pool:
        for at in range(0, len(photos), AT_ONCE):
            several = range(at, min(at + AT_ONCE, len(photos)))
            for done, _ in enumerate(pool.map(load, several), start=at + 1):
                if on_progress is not None:
                    on_progress(label, done, len(photos))
    return pixels


def _room(shape: tuple[int, int, int, int], folder: Path | None) -> Pixels:
    if folder is None or math.prod(shape) <= IN_MEMORY_BYTES:
        return np.empty(shape, np.uint8)
    return mapped_room(shape, folder)


def mapped_room(shape: tuple[int, ...], folder: Path, *, named: bool = False) -> np.memmap[Any, np.dtype[np.uint8]]:
    """uint8 of that shape in a file that goes with the array; a `named` one can be mapped by others, as `filename`.

    Raises OutputError when the disk is full.
    """
    try:
        with contextlib.ExitStack() as stack:
            handle, name = tempfile.mkstemp(dir=folder, prefix=".pixels-")
            stack.callback(Path(name).unlink, missing_ok=True)
            with os.fdopen(handle, "r+b") as file:
                take_room(file, math.prod(shape))
            pixels = np.memmap(name, np.uint8, "r+", shape=shape)
            if named:
                weakref.finalize(pixels, stack.pop_all().close)
            return pixels
    except OSError as error:
        raise OutputError(
            f"cannot keep {math.prod(shape) / 1e9:.1f} GB of pixels in {folder}: {error.strerror}",
            "free as much, or choose another --out",
        ) from error


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
