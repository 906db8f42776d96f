"""Sentences about pictures that stand on both sides of a split, or would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.dataset import Photos

Classes = Mapping[str, Photos]


def sentences(parts: Mapping[str, Classes]) -> list[str]:
    """One for each pair of splits that share photographs, and one for each whose photographs are near copies."""
    notes = []
    most = max(photos.held["group"].max(initial=0) for classes in parts.values() for photos in classes.values())
    for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
        shared = _of(parts[second], _groups(parts[first], most))
        hashes = {photo.sha256 for photos in _of(parts[first], _groups(shared, most)).values() for photo in photos}
        found: dict[bool, list[str]] = {True: [], False: []}
        for name, photos in shared.items():
            for photo in photos:
                found[photo.sha256 in hashes].append(f"{second}/{name}/{photo.name}")
        if exact := found[True]:
            notes.append(
                f"leak: {len(exact)} of the {second} pictures are in {first} too, byte for byte "
                f"({_few(exact)}); accuracy on {second} reads too high"
            )
        if near := found[False]:
            notes.append(
                f"leak: {len(near)} of the {second} pictures are in {first} too, but for compression, size or format "
                f"({_few(near)}); accuracy on {second} reads too high"
            )
    return notes


def kept_together(classes: Classes) -> list[str]:
    """A sentence on the near copies of a class, where there are any: a split made here keeps them on one side."""
    several: list[int] = []
    for photos in classes.values():
        counts = np.unique(photos.held["group"], return_counts=True)[1]
        several += counts[counts > 1].tolist()
    if not several:
        return []
    return [
        f"{sum(several)} pictures are {len(several)} different ones, but for compression, size or format: "
        "each group of near copies stays in one split"
    ]


def _groups(classes: Classes, most: int) -> NDArray[np.bool_]:
    """Of each group up to the number `most`, whether a picture of it is among these."""
    there = np.zeros(most + 1, bool)
    for photos in classes.values():
        there[photos.held["group"]] = True
    return there


def _of(classes: Classes, groups: NDArray[np.bool_]) -> dict[str, Photos]:
    """The pictures of these groups."""
    return {name: photos[groups[photos.held["group"]]] for name, photos in classes.items()}


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(sorted(names)[:3]) + more
