"""Pictures that are copies of one another but for compression, size or format, found by what they look like.

Each is 9 x 8 grey values. Two are near copies when these differ by at most MOST_DIFFERENCE on average. Measured on 40
each of flowers, ImageNet and drawn pictures: copies saved again as JPEG (quality 40), WebP (70) or PNG, or at half the
size, differ by .2 to 2.0, at a third by up to 3.1; of 400 flowers, 200 ImageNet and 400 drawn pictures the two most
alike differ by 9.2, 15.8 and 5.6. (A hash of the signs of their gradients tells them apart less well: copies differ
in up to 11 of 64 bits, different drawn pictures in as few as 3.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

MOST_DIFFERENCE = 2.5  # grey levels of 255
WIDTH, HEIGHT = 9, 8
_COMPARED = 1 << 21  # pairs at a time, to bound the memory

Look = bytes  # WIDTH * HEIGHT grey values


def look_of(small: Image.Image) -> Look:
    """What a picture looks like, from any size of it."""
    return small.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX).tobytes()


def groups_of(looks: Sequence[Look]) -> list[int]:
    """A number for each picture: that of the first of its group, its own where it is alone."""
    first = list(range(len(looks)))
    for a, b in _pairs(looks):
        root_a, root_b = _root(first, a), _root(first, b)
        first[max(root_a, root_b)] = min(root_a, root_b)
    return [_root(first, index) for index in range(len(first))]


def _root(first: list[int], index: int) -> int:
    while first[index] != index:
        first[index] = first[first[index]]
        index = first[index]
    return index


def _pairs(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Every two that are near copies. The sums of their values, and of each quarter's, differ by no more than the
    values do: only pictures of a similar sum are compared, by their quarters first."""
    if len(looks) < 2:
        return
    limit = MOST_DIFFERENCE * WIDTH * HEIGHT
    grey = np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), HEIGHT, WIDTH)
    order = np.argsort(grey.sum((1, 2)), kind="stable")
    grey = grey[order]
    ys, xs = (slice(HEIGHT // 2), slice(HEIGHT // 2, None)), (slice(WIDTH // 2), slice(WIDTH // 2, None))
    quarters = np.stack([grey[:, y, x].sum((1, 2), dtype=np.int32) for y in ys for x in xs])  # [4, N]
    sums, values = quarters.sum(0), grey.reshape(len(grey), -1).astype(np.int16)
    start = 0
    while start < len(grey):
        rows = 1024
        while True:
            stop = min(start + rows, len(grey))
            end = int(np.searchsorted(sums, sums[stop - 1] + limit, side="right"))
            if rows == 1 or (stop - start) * (end - start) <= _COMPARED:
                break
            rows //= 2
        apart = sum(np.abs(quarter[start:stop, None] - quarter[None, start:end]) for quarter in quarters)
        left, right = np.nonzero(np.triu(apart <= limit, 1))
        for at in range(0, len(left), _COMPARED // 50):
            a, b = left[at : at + _COMPARED // 50] + start, right[at : at + _COMPARED // 50] + start
            near = np.abs(values[a] - values[b]).sum(1) <= limit
            yield from zip(order[a[near]].tolist(), order[b[near]].tolist(), strict=True)
        start = stop
