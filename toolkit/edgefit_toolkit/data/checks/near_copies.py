"""Pictures that are copies of one another but for compression, size or format, found by what they look like.

Each is 9 x 8 grey values. Two are near copies when these differ by at most MOST_DIFFERENCE on average. Measured on 40
each of flowers, ImageNet and drawn pictures: copies saved again as JPEG (quality 40), WebP (70) or PNG, or at half the
size, differ by .2 to 2.0, at a third by up to 3.1; of 400 flowers, 200 ImageNet and 400 drawn pictures the two most
alike differ by 9.2, 15.8 and 5.6. (A hash of the signs of their gradients tells them apart less well: copies differ
in up to 11 of 64 bits, different drawn pictures in as few as 3.)
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_DIFFERENCE = 2.5  # grey levels of 255
WIDTH, HEIGHT = 9, 8
_COMPARED = 1 << 16  # pairs at a time, to bound the memory
_SIGNS = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.int32)  # of the quarters
_HALF = [offset for offset in itertools.product((-1, 0, 1), repeat=3) if offset >= (0, 0, 0)]  # each pair once

Look = bytes  # WIDTH * HEIGHT grey values


def look_of(small: Image.Image) -> Look:
    """What a picture looks like, from any size of it."""
    return small.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX).tobytes()


class Groups:
    """The number of each picture's group of near copies, by its hash."""

    def __init__(self, rows: Mapping[str, int], numbers: NDArray[np.int64]) -> None:
        self._rows, self._numbers = rows, numbers

    def __getitem__(self, sha256: str) -> int:
        return int(self._numbers[self._rows[sha256]])


class Looks:
    """What pictures look like, by their hash: side by side, so that each takes little more than its grey values."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._values = bytearray()

    def add(self, sha256: str, look: Look) -> None:
        """Of a picture that is known already the first look stays."""
        if self._rows.setdefault(sha256, len(self._rows)) * WIDTH * HEIGHT == len(self._values):
            self._values += look

    def __getitem__(self, sha256: str) -> Look:
        at = self._rows[sha256] * WIDTH * HEIGHT
        return bytes(self._values[at : at + WIDTH * HEIGHT])

    def groups(self, hashes: Iterable[str]) -> Groups:
        """The groups among the pictures of these hashes."""
        rows = np.unique(np.fromiter((self._rows[sha256] for sha256 in hashes), np.int64))
        numbers = np.full(len(self._rows), -1)
        values = np.frombuffer(self._values, np.uint8).reshape(-1, WIDTH * HEIGHT)
        numbers[rows] = _groups(values if len(rows) == len(values) else values[rows])
        return Groups(self._rows, numbers)


def groups_of(looks: Sequence[Look]) -> list[int]:
    """A number for each picture: that of the first of its group, its own where it is alone."""
    values = np.frombuffer(b"".join(looks), np.uint8)
    return list(map(int, _groups(values.reshape(len(looks), WIDTH * HEIGHT))))


def _groups(looks: NDArray[np.uint8]) -> NDArray[np.int64]:
    first = array("q", range(len(looks)))
    for a, b in _pairs(looks):
        root_a, root_b = _root(first, a), _root(first, b)
        first[max(root_a, root_b)] = min(root_a, root_b)
    return np.fromiter((_root(first, index) for index in range(len(first))), np.int64, len(first))


def _root(first: array[int], index: int) -> int:
    while first[index] != index:
        first[index] = first[first[index]]
        index = first[index]
    return index


def _pairs(values: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Every two rows that are near copies.

    Sums of their values with any signs differ by no more than the values do. So pictures lie in a grid of three such
    sums over quarters, in each cell in the order of a fourth, and each is compared with those near it there.
    """
    if len(values) < 2:
        return
    limit = int(MOST_DIFFERENCE * WIDTH * HEIGHT)
    grey = values.reshape(len(values), HEIGHT, WIDTH)
    ys, xs = (slice(HEIGHT // 2), slice(HEIGHT // 2, None)), (slice(WIDTH // 2), slice(WIDTH // 2, None))
    quarters = np.stack([grey[:, y, x].sum((1, 2), dtype=np.int32) for y in ys for x in xs])  # [4, N]
    most = 255 * WIDTH * HEIGHT
    axes = (_SIGNS @ quarters + most) // (limit + 1) + 1  # [3, N] cells, with an empty one before the first
    side, length = 2 * most // (limit + 1) + 3, most + 2 * limit + 1  # of the grid; of a cell along the fourth sum
    cell = (axes[0].astype(np.int64) * side + axes[1]) * side + axes[2]
    along = cell * length + quarters.sum(0)
    order = np.argsort(along, kind="stable")
    along, quarters = along[order], quarters[:, order]
    del axes, cell, grey
    for offset in _HALF:
        there = along + ((offset[0] * side + offset[1]) * side + offset[2]) * length
        low = np.arange(1, len(values) + 1) if offset == (0, 0, 0) else np.searchsorted(along, there - limit)
        counts = np.maximum(np.searchsorted(along, there + limit, side="right") - low, 0)
        for left, right in _ranges(low, counts):
            near = np.abs(quarters[:, left] - quarters[:, right]).sum(0) <= limit
            left, right = order[left[near]], order[right[near]]
            near = np.abs(values[left].astype(np.int16) - values[right]).sum(1) <= limit
            yield from zip(left[near].tolist(), right[near].tolist(), strict=True)


def _ranges(low: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Pairs (i, low[i]), ..., (i, low[i] + counts[i] - 1) for every i, some _COMPARED at a time."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _COMPARED, side="right")))
        own = counts[start:stop]
        left = np.repeat(np.arange(start, stop), own)
        first = np.repeat(low[start:stop] - (ends[start:stop] - own - before), own)
        yield left, first + np.arange(len(left))
        start = stop
