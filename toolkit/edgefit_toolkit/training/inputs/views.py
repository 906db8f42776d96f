"""Photographs under random views, and as the app will see them, in batches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from edgefit_toolkit.data.augmentation import augment, augmentation_rng, least_side_px, room_for_augmentation
from edgefit_toolkit.data.dataset import Photo
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.pixels import load_pixels, mapped_room, open_photo
from edgefit_toolkit.data.preprocessing import apply
from edgefit_toolkit.host import processes_here
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.training.inputs.reading import Reading

CROP = -1  # the view that is the evaluation crop
# beyond these training pictures are decoded for each view; of a machine whose processes read for a GPU a quarter of its
# memory, for its pages are what the views are made from
ROOM_LIMIT_BYTES = 1_500_000_000
ROOM_BATCH = 128


@dataclass(frozen=True)
class Crops:
    """Photographs as the app will see them."""

    photos: Sequence[Photo]
    preprocessing: Preprocessing

    def __call__(self, index: int, _: int = CROP) -> Pixels:
        """uint8 [R, R, 3]."""
        return apply(open_photo(self.photos[index]), self.preprocessing)

    def reading(self, processes: int = 0) -> Reading:
        """Reads them ahead."""
        return Reading(self, self.preprocessing.resolution_px, processes)


class Views:
    """Photographs, each under as many random views as are asked for, and under CROP."""

    def __init__(
        self,
        photos: Sequence[Photo],
        preprocessing: Preprocessing,
        seed: int = 0,
        on_progress: Progress = ignore_progress,
        numbers: Sequence[int] | None = None,
        folder: Path | None = None,
        processes: int = 0,
    ) -> None:
        """`numbers`: which of the data set's pictures these are; None: all of them. `folder`: where more of them lie
        than fit into memory. `processes`: as of `Reading`."""
        self.photos, self.preprocessing, self.seed = photos, preprocessing, seed
        self.numbers = range(len(photos)) if numbers is None else numbers
        self.folder, self.processes = folder, processes
        self._on_progress = on_progress
        self._room: Pixels | None = None
        self._read = False
        self._reading = Reading(self.view, preprocessing.resolution_px, processes)

    def __len__(self) -> int:
        return len(self.photos)

    def __reduce__(self) -> tuple[Any, ...]:
        how = self.photos, self.preprocessing, self.seed, ignore_progress, self.numbers
        file = self._room.filename if isinstance(self._room, np.memmap) else None
        return _sent, (how, file, None if self._room is None else self._room.shape)

    def at(self, preprocessing: Preprocessing) -> Views:
        """The same views at another size."""
        return Views(
            self.photos, preprocessing, self.seed, self._on_progress, self.numbers, self.folder, self.processes
        )

    def read(self) -> None:
        """Reads the photographs, with room for augmentation, where that is not too much: asking for a view does so."""
        room = room_for_augmentation(self.preprocessing)
        memory_bytes = psutil.virtual_memory().total // processes_here()
        limit_bytes = memory_bytes // 4 if self.processes else ROOM_LIMIT_BYTES
        if not self._read and len(self.photos) * room.resolution_px**2 * 3 <= limit_bytes:
            self._room = self._read_into_room(room)
        self._read = True

    def _read_into_room(self, how: Preprocessing) -> Pixels:
        label = "reading training pictures"
        if not self.processes:
            return load_pixels(self.photos, how, on_progress=self._on_progress, label=label, folder=self.folder)
        n, side, at = len(self.photos), how.resolution_px, 0
        room = mapped_room((n, side, side, 3), self.folder or Path(tempfile.gettempdir()), named=True)
        reading = Crops(self.photos, how).reading(self.processes)
        for batch in reading.batches(in_order(range(n), ROOM_BATCH)):
            room[at : at + len(batch)] = batch
            at += len(batch)
            self._on_progress(label, at, n)
        reading.close()
        return room

    def view(self, index: int, number: int) -> Pixels:
        """uint8 [R, R, 3]: the photograph's view of that number, the same whenever it is asked for."""
        if number == CROP:
            return Crops(self.photos, self.preprocessing)(index)
        if self._room is None:
            picture: Image.Image | Pixels = open_photo(self.photos[index], least_side_px(self.preprocessing))
        else:
            picture = self._room[index]
        return augment(picture, augmentation_rng(self.seed, number, self.numbers[index]), self.preprocessing)

    def close(self) -> None:
        """Ends the processes that read them."""
        self._reading.close()

    def batches(self, order: Sequence[int], number: int, size: int) -> Iterator[Pixels]:
        """uint8 [<= size, R, R, 3] in that order."""
        return self.parts((order[at : at + size] for at in range(0, len(order), size)), number)

    def parts(self, parts: Iterable[Sequence[int]], number: int) -> Iterator[Pixels]:
        """uint8 [n, R, R, 3] of each part."""
        self.read()  # once, and not in every thread or process
        return self._reading.batches([(index, number) for index in part] for part in parts)


def in_order(pictures: range, size: int) -> Iterator[list[tuple[int, int]]]:
    """Crops of these pictures in parts of so many."""
    return ([(index, CROP) for index in pictures[at : at + size]] for at in range(0, len(pictures), size))


def _sent(how: tuple[Any, ...], file: str | None, shape: tuple[int, ...] | None) -> Views:
    """Views as a process has them that another one has begun."""
    views = Views(*how)
    if file is not None:
        views._room = np.memmap(file, np.uint8, "r", shape=shape)
    views._read = True
    return views
