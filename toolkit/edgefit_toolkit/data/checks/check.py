"""Every picture is decoded to its end once: what can be used, what it looks like, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data import decoding
from edgefit_toolkit.data.checks import near_copies
from edgefit_toolkit.data.checks.catalogue import Catalogue, Finding, catalogue_file
from edgefit_toolkit.data.dataset import HELD, Candidate, Photos, Skipped, Stamp, Stamped
from edgefit_toolkit.progress import Progress, ignore_progress

Offered = Mapping[str, Sequence[Candidate]]  # class -> its pictures
Classes = dict[str, Photos]

CATALOGUED = 2000  # pictures; fewer are checked in seconds, each time anew
_AT_ONCE = 1024  # are looked up, judged and kept together: what a killed process loses


@dataclass
class Checked:
    """Pictures that can be used, by part and class, each in a group of its own; what they look like; and the others."""

    usable: dict[str, Classes]
    looks: NDArray[np.uint8]  # [groups, near_copies.VALUES]
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(
    offered: Mapping[str, Offered],
    where: str,
    labels: Mapping[str, int],
    cache_dir: Path | None,
    on_progress: Progress | None,
) -> Checked:
    """Looks at every picture of part -> class -> pictures, in threads; `labels` numbers the classes.

    Of CATALOGUED and more pictures the catalogue of the data set `where` below `cache_dir` keeps what was found; only
    new and changed ones are decoded then.
    """
    total = sum(len(pictures) for classes in offered.values() for pictures in classes.values())
    where_to = [(part, class_name) for part, classes in offered.items() for class_name in classes]
    pools = [offered[part][class_name] for part, class_name in where_to]
    flat = _each(pools)
    held, looks = np.zeros(total, HELD), np.empty((total, near_copies.VALUES), np.uint8)
    found = Checked({}, looks)
    used = 0
    catalogue = None
    if cache_dir is not None and total >= CATALOGUED:
        catalogue = Catalogue(catalogue_file(cache_dir, where))
    workers = min(32, (os.cpu_count() or 1) + 2)
    with decoding.quiet_pillow(), ThreadPoolExecutor(workers) as pool, closing(catalogue or _Nothing()) as book:
        for at in range(0, total, _AT_ONCE):
            some = list(islice(flat, _AT_ONCE))
            progress = (at, total, on_progress or ignore_progress)
            findings = _look_at([picture for *_, picture in some], book, pool, progress)
            rows: list[tuple[int, int, int, int, bytes]] = []
            for (number, row, picture), finding in zip(some, findings, strict=True):
                if finding.fault is not None:
                    found.skipped.append(Skipped(picture.name, picture.place, finding.fault))
                    continue
                label = labels.get(where_to[number][1], -1)
                rows.append((number, row, label, used + len(rows), finding.sha256))
            good = b"".join(finding.look for finding in findings if finding.fault is None)
            held[used : used + len(rows)] = rows
            looks[used : used + len(rows)] = np.frombuffer(good, np.uint8).reshape(-1, near_copies.VALUES)
            used += len(rows)
        found.notes = book.notes
    found.looks = looks[:used]
    ends = np.searchsorted(held["pool"][:used], range(len(pools) + 1))
    for number, (part, class_name) in enumerate(where_to):
        photos = Photos(pools, held[ends[number] : ends[number + 1]])
        found.usable.setdefault(part, {})[class_name] = photos
    return found


def _each(pools: Sequence[Sequence[Candidate]]) -> Iterator[tuple[int, int, Candidate]]:
    """Every picture, with the number of its pool and its own in there."""
    return ((number, row, one) for number, pictures in enumerate(pools) for row, one in enumerate(pictures))


class _Nothing:
    """No catalogue."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def look_up(self, stamps: Sequence[Stamp]) -> list[Finding | None]:
        return [None] * len(stamps)

    def store(self, found: Sequence[tuple[Stamp, Finding]]) -> None:
        pass

    def close(self) -> None:
        pass


def _look_at(
    pictures: Sequence[Candidate],
    book: Catalogue | _Nothing,
    pool: ThreadPoolExecutor,
    progress: tuple[int, int, Progress],
) -> list[Finding]:
    """What the catalogue knows, and what looking finds of the others, which it is told."""
    before, total, on_progress = progress
    stamps = [_stamp(picture) for picture in pictures]
    known = iter(book.look_up([stamp for stamp in stamps if stamp is not None]))
    findings = [next(known) if stamp is not None else None for stamp in stamps]
    unknown = [index for index, finding in enumerate(findings) if finding is None]
    done = before + len(pictures) - len(unknown)
    fresh: list[tuple[Stamp, Finding]] = []
    for index, (finding, lasting) in zip(unknown, pool.map(lambda i: _judge(pictures[i]), unknown), strict=True):
        findings[index] = finding
        stamp = stamps[index]
        if stamp is not None and lasting and stamp == _stamp(pictures[index]):  # not changed while it was read
            fresh.append((stamp, finding))
        done += 1
        on_progress("checking photographs", done, total)
    book.store(fresh)
    if not unknown:
        on_progress("checking photographs", done, total)
    return [finding for finding in findings if finding is not None]


def _stamp(picture: Candidate) -> Stamp | None:
    if not _is_stamped(type(picture.opener)):  # type: ignore[arg-type]
        return None
    try:
        return cast(Stamped, picture.opener).stamp()
    except OSError:
        return None


@lru_cache
def _is_stamped(kind: type) -> bool:
    return issubclass(kind, Stamped)  # takes ten times as long as the stamp itself


def _judge(picture: Candidate) -> tuple[Finding, bool]:
    """What is found, and whether it will be found again as long as the bytes are the same."""
    digest = hashlib.sha256()
    try:
        with picture.open() as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        small = decoding.check(picture)
    except OSError as error:
        return Finding(b"", b"", f"cannot be read: {error.strerror}"), False
    except decoding.BrokenPicture as broken:
        return Finding(b"", b"", str(broken)), broken.lasting
    return Finding(digest.digest(), near_copies.look_of(small)), True
