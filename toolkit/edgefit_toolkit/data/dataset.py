"""What a set of photographs is, once it has been checked and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["photographs", "drawn"]
SPLITS = ("train", "val", "test")
StageProgress = Callable[[str, int, int], None]  # what is being done, how many are done, how many there are


@dataclass(frozen=True)
class Photo:
    """One usable picture."""

    path: Path
    label: int  # index into Dataset.classes


@dataclass(frozen=True)
class Skipped:
    """One file that was left out, and why."""

    path: Path
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
            f"{self.name}: {len(self.classes)} classes, {len(self.train)} / {len(self.val)} / {len(self.test)} "
            f"{what} to train, validate and test"
        )
        return f"{line}, {len(self.skipped)} files skipped" if self.skipped else line
