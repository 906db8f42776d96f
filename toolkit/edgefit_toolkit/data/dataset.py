"""What a set of photographs is, once it has been checked and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

Kind = Literal["photographs", "drawn"]
SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}  # what folders, files and columns call them, in any case


@dataclass(frozen=True)
class Credit:
    """Who took a photograph, and under which licence it may be shown."""

    file: str  # its path inside the data set
    author: str
    license: str
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A picture that a source offers, wherever its bytes lie: a file, a member of an archive, a row of a table."""

    name: str  # the file's own name, "003.jpg": what reports call it
    place: str  # where it lies, for people: "plants/ivy/003.jpg", "shard-7.tar: ivy/003.jpg"
    opener: Callable[[], BinaryIO] = field(repr=False, compare=False)
    credit: Credit | None = None

    def open(self) -> BinaryIO:
        """A fresh stream of its bytes, to be closed by the caller. Raises OSError where they cannot be had."""
        return self.opener()


@dataclass(frozen=True, kw_only=True)
class Photo(Candidate):
    """One usable picture."""

    label: int  # index into Dataset.classes
    sha256: str  # of its bytes


@dataclass(frozen=True)
class Skipped:
    """One picture that was left out, and why."""

    name: str
    place: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Checked pictures in three disjoint splits, each with every class. Order is the same on every machine."""

    name: str
    kind: Kind
    classes: tuple[str, ...]
    train: tuple[Photo, ...] = field(repr=False)
    val: tuple[Photo, ...] = field(repr=False)
    test: tuple[Photo, ...] = field(repr=False)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()  # sentences for the report, leaks between splits among them
    license: str = ""
    credits: str = ""
    other: int = -1  # the class of photographs of other things; -1: there is none
    sha256: str = ""  # of every picture's split, class, name and bytes: two equal ones train the same

    def split(self, name: str) -> tuple[Photo, ...]:
        """The photographs of "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def counts(self, photos: Sequence[Photo]) -> tuple[int, ...]:
        """How many of `photos` each class has, in the order of `classes`."""
        found = [0] * len(self.classes)
        for photo in photos:
            found[photo.label] += 1
        return tuple(found)

    @property
    def summary(self) -> str:
        """One line for the screen and the report."""
        what = "photographs" if self.kind == "photographs" else "drawn pictures"
        line = (
            f"{self.name}: {len(self.classes) - (self.other >= 0)} classes, "
            f"{len(self.train)} / {len(self.val)} / {len(self.test)} {what} to train, validate and test"
        )
        return f"{line}, {len(self.skipped)} files skipped" if self.skipped else line
