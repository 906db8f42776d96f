"""What a set of photographs is, once it has been checked and split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

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


HELD = np.dtype(
    [("pool", np.int32), ("row", np.int32), ("label", np.int32), ("group", np.int32), ("sha256", "S32")]
)  # of each photograph; those of one group are copies of one another, or nearly


class Photos(Sequence[Photo]):
    """Photographs of which HELD alone is in memory: each is made of what its source offers when it is asked for."""

    def __init__(self, pools: Sequence[Sequence[Candidate]], held: NDArray[np.void]) -> None:
        """`pools`: what the source offers; `held`, HELD [N], says which of that in which order."""
        self.pools, self.held = pools, held

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: Any) -> Any:
        """The photograph of that number, or those that a slice, numbers or bools [N] choose."""
        if isinstance(index, int | np.integer):
            return self._photo(self.held[index])
        return Photos(self.pools, self.held[index])

    def __iter__(self) -> Iterator[Photo]:
        return map(self._photo, self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Photos) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def _photo(self, held: Any) -> Photo:
        pool, row, label, _, sha256 = held.item()
        picture = self.pools[pool][row]
        return Photo(
            name=picture.name,
            place=picture.place,
            opener=picture.opener,
            credit=picture.credit,
            seen=picture.seen,
            label=label,
            sha256=sha256.ljust(32, b"\0").hex(),  # numpy takes zeros at the end for none
        )


def joined(parts: Sequence[Sequence[Photo]]) -> Photos:
    """All photographs of several parts, one part after the other."""
    pools: list[Sequence[Candidate]] = []
    known: dict[int, int] = {}  # where the pools of a part stand among all
    several = [part if isinstance(part, Photos) else _held(part) for part in parts]
    held = np.concatenate([part.held for part in several])
    at = 0
    for part in several:
        if id(part.pools) not in known:
            known[id(part.pools)] = len(pools)
            pools += part.pools
        held["pool"][at : at + len(part)] += known[id(part.pools)]
        at += len(part)
    return Photos(pools, held)


def _held(photos: Sequence[Photo]) -> Photos:
    rows = [(0, row, photo.label, row, bytes.fromhex(photo.sha256)) for row, photo in enumerate(photos)]
    return Photos([photos], np.array(rows, HELD))


def labels(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """int64 [N]: indices into Dataset.classes."""
    if isinstance(photos, Photos):
        return photos.held["label"].astype(np.int64)
    return np.array([photo.label for photo in photos], dtype=np.int64)


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
    train: Sequence[Photo] = field(repr=False)
    val: Sequence[Photo] = field(repr=False)
    test: Sequence[Photo] = field(repr=False)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()  # sentences for the report, leaks between splits among them
    license: str = ""
    credits: str = ""
    other: int = -1  # the class of photographs of other things; -1: there is none
    sha256: str = ""  # of every picture's split, class, name and bytes: two equal ones train the same

    def split(self, name: str) -> Sequence[Photo]:
        """The photographs of "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def counts(self, photos: Sequence[Photo]) -> tuple[int, ...]:
        """How many of `photos` each class has, in the order of `classes`."""
        return tuple(np.bincount(labels(photos), minlength=len(self.classes)).tolist())

    @property
    def summary(self) -> str:
        """One line for the screen and the report."""
        what = "photographs" if self.kind == "photographs" else "drawn pictures"
        line = (
            f"{self.name}: {len(self.classes) - (self.other >= 0)} classes, "
            f"{len(self.train)} / {len(self.val)} / {len(self.test)} {what} to train, validate and test"
        )
        return f"{line}, {len(self.skipped)} files skipped" if self.skipped else line
