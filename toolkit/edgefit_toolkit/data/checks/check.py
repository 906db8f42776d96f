"""Every picture is decoded to its end once: what can be used, what it looks like, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import cast

from edgefit_toolkit.data import decoding
from edgefit_toolkit.data.checks import near_copies
from edgefit_toolkit.data.checks.catalogue import Catalogue, Finding, catalogue_file
from edgefit_toolkit.data.checks.near_copies import Looks
from edgefit_toolkit.data.dataset import Candidate, Photo, Skipped, Stamp, Stamped
from edgefit_toolkit.progress import Progress, ignore_progress

Offered = Mapping[str, Sequence[Candidate]]  # class -> its pictures
Classes = dict[str, list[Photo]]

CATALOGUED = 2000  # pictures; fewer are checked in seconds, each time anew
_AT_ONCE = 1024  # are looked up, judged and kept together: what a killed process loses


@dataclass
class Checked:
    """Pictures that can be used, by part and class; what each looks like, by its hash; and the others."""

    usable: dict[str, Classes]
    looks: Looks = field(default_factory=Looks)
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
    flat = (
        (part, class_name, picture)
        for part, classes in offered.items()
        for class_name, pictures in classes.items()
        for picture in pictures
    )
    found = Checked({part: {name: [] for name in classes} for part, classes in offered.items()})
    catalogue = None
    if cache_dir is not None and total >= CATALOGUED:
        catalogue = Catalogue(catalogue_file(cache_dir, where))
    workers = min(32, (os.cpu_count() or 1) + 2)
    with decoding.quiet_pillow(), ThreadPoolExecutor(workers) as pool, closing(catalogue or _Nothing()) as book:
        for at in range(0, total, _AT_ONCE):
            some = list(islice(flat, _AT_ONCE))
            progress = (at, total, on_progress or ignore_progress)
            findings = _look_at([picture for *_, picture in some], book, pool, progress)
            for (part, class_name, picture), finding in zip(some, findings, strict=True):
                if finding.fault is not None:
                    found.skipped.append(Skipped(picture.name, picture.place, finding.fault))
                    continue
                found.looks.add(finding.sha256, finding.look)
                found.usable[part][class_name].append(_photo(picture, labels.get(class_name, -1), finding.sha256))
        found.notes = book.notes
    return found


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
        return Finding("", b"", f"cannot be read: {error.strerror}"), False
    except decoding.BrokenPicture as broken:
        return Finding("", b"", str(broken)), broken.lasting
    return Finding(digest.hexdigest(), near_copies.look_of(small)), True


def _photo(picture: Candidate, label: int, sha256: str) -> Photo:
    return Photo(
        name=picture.name,
        place=picture.place,
        opener=picture.opener,
        credit=picture.credit,
        seen=picture.seen,
        label=label,
        sha256=sha256,
    )
