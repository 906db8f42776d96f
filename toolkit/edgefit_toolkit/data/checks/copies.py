"""Pictures that are there more than once: byte for byte, or but for compression, size or format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.checks.near_copies import groups_of
from edgefit_toolkit.data.dataset import Photos, Skipped

Classes = Mapping[str, Photos]


def once(classes: Classes) -> tuple[dict[str, Photos], list[Skipped]]:
    """Each photograph once, and none that two classes claim; the others with the reason."""
    names, parts = list(classes), list(classes.values())
    kept = [np.ones(len(photos), bool) for photos in parts]
    skipped = []
    for copies in _copies(parts):
        claims = sorted({names[part] for part, _ in copies})
        reason = f"the same picture is in the classes {' and '.join(claims)}"
        if len(claims) == 1:
            (part, row), *copies = copies
            reason = f"an exact copy of {parts[part][row].name}"
        for part, row in copies:
            kept[part][row] = False
            skipped.append(Skipped(parts[part][row].name, parts[part][row].place, reason))
    if not skipped:
        return dict(classes), []
    return {name: photos[chosen] for name, photos, chosen in zip(names, parts, kept, strict=True)}, skipped


def group(parts: Sequence[Photos], looks: NDArray[np.uint8]) -> None:
    """Puts pictures that are copies into one group, in place.

    Each comes in a group of its own, the number of its row of `looks`.
    """
    for (part, row), *copies in _copies(parts):
        for other, there in copies:
            parts[other].held["group"][there] = parts[part].held["group"][row]
    numbers = np.zeros(len(looks), np.int32)
    for photos in parts:
        numbers[photos.held["group"]] = 1
    compared = np.flatnonzero(numbers)
    numbers[compared] = groups_of(looks if len(compared) == len(looks) else looks[compared])
    for photos in parts:
        photos.held["group"] = numbers[photos.held["group"]]


def _copies(parts: Sequence[Photos]) -> list[list[tuple[int, int]]]:
    """Where pictures stand that are there more than once, byte for byte: number of the part, and of the row in it."""
    heads = np.concatenate([photos.held["sha256"].astype("S8") for photos in parts]).view(np.uint64)
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    alike = np.flatnonzero(heads[1:] == heads[:-1])
    ends = np.cumsum([len(photos) for photos in parts])
    found: dict[bytes, list[tuple[int, int]]] = {}
    for number in np.unique(np.concatenate((order[alike], order[alike + 1]))).tolist():
        part = int(np.searchsorted(ends, number, side="right"))
        row = number - int(ends[part]) + len(parts[part])
        found.setdefault(parts[part].held["sha256"][row], []).append((part, row))
    return [places for places in found.values() if len(places) > 1]
