"""Sentences about pictures that stand on both sides of a split, or would have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from edgefit_toolkit.data.checks.near_copies import Groups
from edgefit_toolkit.data.dataset import Photo

Classes = Mapping[str, Sequence[Photo]]


def sentences(parts: Mapping[str, Classes], groups: Groups) -> list[str]:
    """One for each pair of splits that share photographs, and one for each whose photographs are near copies."""
    notes = []
    for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
        hashes = {photo.sha256 for _, photo in _photos(parts[first])}
        looks = {groups[sha256] for sha256 in hashes}
        there = parts[second]
        exact = [f"{second}/{name}/{photo.name}" for name, photo in _photos(there) if photo.sha256 in hashes]
        near = [
            f"{second}/{name}/{photo.name}"
            for name, photo in _photos(there)
            if photo.sha256 not in hashes and groups[photo.sha256] in looks
        ]
        if exact:
            notes.append(
                f"leak: {len(exact)} of the {second} pictures are in {first} too, byte for byte "
                f"({_few(exact)}); accuracy on {second} reads too high"
            )
        if near:
            notes.append(
                f"leak: {len(near)} of the {second} pictures are in {first} too, but for compression, size or format "
                f"({_few(near)}); accuracy on {second} reads too high"
            )
    return notes


def kept_together(classes: Classes, groups: Groups) -> list[str]:
    """A sentence on the near copies of a class, where there are any: a split made here keeps them on one side."""
    several: list[int] = []
    for photos in classes.values():
        several += [count for count in Counter(groups[photo.sha256] for photo in photos).values() if count > 1]
    if not several:
        return []
    return [
        f"{sum(several)} pictures are {len(several)} different ones, but for compression, size or format: "
        "each group of near copies stays in one split"
    ]


def _photos(classes: Classes) -> Iterator[tuple[str, Photo]]:
    return ((name, photo) for name, photos in classes.items() for photo in photos)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(sorted(names)[:3]) + more
