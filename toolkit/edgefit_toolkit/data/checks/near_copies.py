"""Pictures that are copies of one another but for compression, size or format, found by what they look like.

Each is 9 x 8 grey values. Two are near copies when these differ by at most MOST_DIFFERENCE on average. Measured on 40
each of flowers, ImageNet and drawn pictures: copies saved again as JPEG (quality 40), WebP (70) or PNG, or at half the
size, differ by .2 to 2.0, at a third by up to 3.1; of 400 flowers, 200 ImageNet and 400 drawn pictures the two most
alike differ by 9.2, 15.8 and 5.6. (A hash of the signs of their gradients tells them apart less well: copies differ
in up to 11 of 64 bits, different drawn pictures in as few as 3.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_DIFFERENCE = 2.5  # grey levels of 255
WIDTH, HEIGHT = 9, 8
VALUES = WIDTH * HEIGHT
_LOOKED_UP = _COMPARED = 1 << 14  # pictures, and pairs of them, at a time: to bound the memory
_SIGNS = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.int16)[..., None]  # of the quarters
_HALF = [offset for offset in itertools.product((-1, 0, 1), repeat=3) if offset >= (0, 0, 0)]  # each pair once

Look = bytes  # VALUES grey values


def look_of(small: Image.Image) -> Look:
    """What a picture looks like, from any size of it."""
    return small.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX).tobytes()


def groups_of(looks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A number for each of looks [N, VALUES]: that of the first of its group, its own where it is alone."""
    first: dict[int, int] = {}  # of pictures with near copies: another one, or itself
    for a, b in _pairs(looks):
        root_a, root_b = _root(first, a), _root(first, b)
        first[max(root_a, root_b)] = min(root_a, root_b)
    numbers = np.arange(len(looks))
    for index in list(first):
        numbers[index] = _root(first, index)
    return numbers


def _root(first: dict[int, int], index: int) -> int:
    while (above := first.setdefault(index, index)) != index:
        first[index] = first[above]
        index = first[index]
    return index


def _pairs(values: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Every two rows that are near copies.

    Sums of their values with any signs differ by no more than the values do. So pictures lie in a grid of three such
    sums over quarters, in each cell in the order of a fourth, and each is compared with those near it there.
    """
    limit, most = int(MOST_DIFFERENCE * VALUES), 255 * VALUES
    grey = values.reshape(-1, HEIGHT, WIDTH)
    ys, xs = (slice(HEIGHT // 2), slice(HEIGHT // 2, None)), (slice(WIDTH // 2), slice(WIDTH // 2, None))
    quarters = np.empty((4, len(values)), np.int16)  # sums of four of them, too, are below 2^15
    for quarter, (y, x) in zip(quarters, itertools.product(ys, xs), strict=True):
        grey[:, y, x].sum((1, 2), dtype=np.int16, out=quarter)
    side, length = 2 * most // (limit + 1) + 3, most + 2 * limit + 1  # of the grid; of a cell along the fourth sum
    along = np.zeros(len(values), np.int64)
    for signs in _SIGNS:  # cells, with an empty one before the first
        along = along * side + ((quarters * signs).sum(0, dtype=np.int32) + most) // (limit + 1) + 1
    along = along * length + quarters.sum(0)
    order = np.argsort(along, kind="stable")
    along, quarters = along[order], quarters[:, order]
    for offset, start in itertools.product(_HALF, range(0, len(values), _LOOKED_UP)):
        there = along[start : start + _LOOKED_UP] + ((offset[0] * side + offset[1]) * side + offset[2]) * length
        low = np.searchsorted(along, there - limit)
        if offset == (0, 0, 0):
            low = np.arange(start + 1, start + 1 + len(there))
        counts = np.maximum(np.searchsorted(along, there + limit, side="right") - low, 0)
        for left, right in _ranges(low, counts):
            left += start
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
