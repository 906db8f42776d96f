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
_ROWS = 256  # compared at a time with all that are as bright
_PAIRS = 1 << 16

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
    """Every two that are near copies. Their mean brightness can differ no more than they do, so only pictures of a
    similar one are compared: of 300,000, each with some thousands."""
    if len(looks) < 2:
        return
    values = np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), -1)
    order = np.argsort(values.mean(1), kind="stable")
    values = values[order].astype(np.int16)
    means = values.mean(1)
    halves = np.stack([values[:, : values.shape[1] // 2].mean(1), values[:, ::2].mean(1)], 1)
    for start in range(0, len(values), _ROWS):
        rows = slice(start, min(start + _ROWS, len(values)))
        end = int(np.searchsorted(means, means[rows.stop - 1] + MOST_DIFFERENCE, side="right"))
        # halves differ by at most twice what the whole does: a cheap first look
        near = np.abs(halves[rows, None] - halves[None, start:end]).max(2) <= 2 * MOST_DIFFERENCE
        left, right = np.nonzero(near)
        keep = right > left
        left, right = left[keep] + start, right[keep] + start
        for at in range(0, len(left), _PAIRS):
            a, b = left[at : at + _PAIRS], right[at : at + _PAIRS]
            alike = np.abs(values[a] - values[b]).mean(1) <= MOST_DIFFERENCE
            yield from zip(order[a[alike]].tolist(), order[b[alike]].tolist(), strict=True)
