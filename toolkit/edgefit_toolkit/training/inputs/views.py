"""Training photographs under random views, and photographs as the app will see them, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from edgefit_toolkit.data.augmentation import augment, augmentation_rng, least_side_px, room_for_augmentation
from edgefit_toolkit.data.dataset import Photo
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.pixels import load_pixels, open_photo
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import Preprocessing

FORWARD_BATCH = 16  # larger ones are no faster on a CPU and cost memory at high resolutions
READ_AHEAD = 64
ROOM_LIMIT_BYTES = 1_500_000_000  # beyond it, training pictures are decoded for each view


class Views:
    """The training photographs, each under as many random views as are asked for."""

    def __init__(
        self,
        photos: Sequence[Photo],
        preprocessing: Preprocessing,
        seed: int,
        on_progress: Progress,
        numbers: Sequence[int] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`numbers`: which of the data set's pictures these are; None: all of them. `folder`: as of `load_pixels`."""
        self.photos, self.preprocessing, self.seed = photos, preprocessing, seed
        self.numbers = range(len(photos)) if numbers is None else numbers
        self._on_progress, self._folder = on_progress, folder

    def __len__(self) -> int:
        return len(self.photos)

    def at(self, preprocessing: Preprocessing) -> Views:
        """The same views at another size."""
        return Views(self.photos, preprocessing, self.seed, self._on_progress, self.numbers, self._folder)

    def read(self) -> None:
        """Reads the photographs, with room for augmentation, where that is not too much: asking for a batch does so."""
        _ = self._room

    @cached_property
    def _room(self) -> Pixels | None:
        room = room_for_augmentation(self.preprocessing)
        if len(self.photos) * room.resolution_px**2 * 3 > ROOM_LIMIT_BYTES:
            return None
        return load_pixels(
            self.photos, room, on_progress=self._on_progress, label="reading training pictures", folder=self._folder
        )

    def view(self, index: int, number: int) -> Pixels:
        """uint8 [R, R, 3]: the photograph's random view of that number, the same whenever it is asked for."""
        if self._room is None:
            picture: Image.Image | Pixels = open_photo(self.photos[index], least_side_px(self.preprocessing))
        else:
            picture = self._room[index]
        return augment(picture, augmentation_rng(self.seed, number, self.numbers[index]), self.preprocessing)

    def batches(self, order: Sequence[int], number: int, size: int) -> Iterator[Pixels]:
        """uint8 [<= size, R, R, 3] in that order."""
        return self.parts([order[at : at + size] for at in range(0, len(order), size)], number)

    def parts(self, parts: Sequence[Sequence[int]], number: int) -> Iterator[Pixels]:
        """uint8 [n, R, R, 3] of each part; the next one is made while this one is used."""
        self.read()  # once, and not in every thread
        with ThreadPoolExecutor() as pool:

            def start(part: Sequence[int]) -> list[Future[Pixels]]:
                return [pool.submit(self.view, index, number) for index in part]

            ahead = start(parts[0]) if parts else []
            for at in range(len(parts)):
                batch, ahead = ahead, start(parts[at + 1]) if at + 1 < len(parts) else []
                yield np.stack([future.result() for future in batch])


def crop_batches(photos: Sequence[Photo], preprocessing: Preprocessing) -> Iterator[Pixels]:
    """uint8 [<= FORWARD_BATCH, R, R, 3]: the evaluation crops of photographs, read as they are asked for."""
    for at in range(0, len(photos), READ_AHEAD):
        pixels = load_pixels(photos[at : at + READ_AHEAD], preprocessing)
        yield from in_batches(pixels)


def in_batches(pixels: Pixels, size: int = FORWARD_BATCH) -> Iterator[Pixels]:
    """uint8 [N, R, R, 3] in slices."""
    return (pixels[at : at + size] for at in range(0, len(pixels), size))
