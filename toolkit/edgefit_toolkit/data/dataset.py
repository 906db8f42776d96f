"""What a set of photographs is, once it has been checked and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, NamedTuple, Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Seen:
    """Where and when a picture was taken, as far as its source says."""

    region: str = ""
    month: int = 0  # 1 to 12; 0: not said


NOT_SEEN = Seen()


class Stamp(NamedTuple):
    """By what one sees, without reading them, that a picture's bytes are still the same."""

    place: str  # on this machine; no other picture has it
    size_bytes: int
    changed_ns: int


@runtime_checkable
class Stamped(Protocol):
    """An opener whose bytes lie in a file."""

    def stamp(self) -> Stamp:
        """As they lie there now. Raises OSError where they do not."""
        ...


@dataclass(frozen=True, kw_only=True)
class About:
    """What a source says of its pictures as a whole."""

    where: str  # what messages call the source
    name: str
    kind: Kind = "photographs"
    license: str = ""
    credits: str = ""
    notes: tuple[str, ...] = ()  # sentences for the report


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A picture that a source offers, wherever its bytes lie: a file, a member of an archive, a row of a table."""

    name: str  # the file's own name, "003.jpg": what reports call it
    place: str  # where it lies, for people: "plants/ivy/003.jpg", "shard-7.tar: ivy/003.jpg"
    opener: Callable[[], BinaryIO] = field(repr=False, compare=False)  # one that is Stamped is read once
    credit: Credit | None = None
    seen: Seen = NOT_SEEN

    def open(self) -> BinaryIO:
        """A fresh stream of its bytes, to be closed by the caller. Raises OSError where they cannot be had."""
        return self.opener()


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo(Candidate):
    """One usable picture."""

    label: int  # index into Dataset.classes
    sha256: str  # of its bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """One picture that was left out, and why."""

    name: str
    place: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Checked pictures in three disjoint splits. Order is the same on every machine.

    Train has every class; val and test lack those with too few pictures for a split, and have at least two.
    """

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
