"""The representative data set: which training photographs show the quantizer the network's value ranges."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgefit_toolkit.errors import InputError


class LabelledPhoto(Protocol):
    """What a photograph has to offer (data.Photo does)."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> int: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class CalibrationSet:
    """The chosen photographs and what makes the choice repeatable."""

    photos: tuple[Any, ...]  # the chosen items, in the order of the list they were chosen from
    indices: tuple[int, ...]  # their places in that list
    seed: int

    def as_record(self) -> dict[str, Any]:
        """For the run's manifest and the report."""
        return {
            "seed": self.seed,
            "n": len(self.photos),
            "photos": [
                {"index": index, "file": photo.name, "label": photo.label, "sha256": photo.sha256}
                for index, photo in zip(self.indices, self.photos, strict=True)
            ],
        }


def choose(photos: Sequence[LabelledPhoto], n: int, seed: int) -> CalibrationSet:
    """Up to n photographs, every class as often as any other as far as its photographs reach.

    The same photographs, n and seed give the same choice. Raises InputError when n < 1 or there is none to choose.
    """
    if n < 1:
        raise InputError(f"{n} calibration photographs were asked for; at least 1 is needed, 100 are usual")
    if not photos:
        raise InputError("there are no photographs to calibrate with", "the training split must not be empty")
    by_class: dict[int, list[int]] = defaultdict(list)
    for index, photo in enumerate(photos):
        by_class[photo.label].append(index)
    shuffle = random.Random(seed)
    queues = [shuffle.sample(by_class[label], len(by_class[label])) for label in sorted(by_class)]
    shuffle.shuffle(queues)  # when n is not a multiple of the classes, chance says which get one more
    chosen: list[int] = []
    while len(chosen) < min(n, len(photos)):
        for queue in queues:
            if queue and len(chosen) < n:
                chosen.append(queue.pop())
    indices = tuple(sorted(chosen))
    picked = tuple(photos[index] for index in indices)
    return CalibrationSet(picked, indices, seed)
