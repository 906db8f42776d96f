"""Tar shards by WebDataset's conventions: `ivy/003.jpg` beside `ivy/003.cls` (or .json, .txt) is one labelled picture.

By the standard library's tarfile: the webdataset package reads shards from their beginning to their end, and training
goes to single pictures in any order.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import posixpath
import re
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from edgefit_toolkit.data.dataset import About, Candidate, Dataset, Stamp
from edgefit_toolkit.data.readers.listing import Listed, load_rows, read_error, split_of
from edgefit_toolkit.data.texts import Texts, Words
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

PICTURES = ("jpg", "jpeg", "png", "webp", "avif", "tif", "tiff", "gif", "bmp", "ppm", "jp2")
LABELS = ("cls", "json", "txt")  # the first that a sample has is its label
LABEL_BYTES = 1 << 20  # more is no label
_MOST_SHARDS = 1_000_000
_HINT = "name shards like wds:DIR/{00000..00099}.tar, wds:DIR/*.tar or wds:DIR/plants.tar"


class _Member(NamedTuple):
    """Where the bytes of one file in a tar are."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class ShardPicture:
    """The opener of a picture inside a tar."""

    shard: str
    offset: int
    size: int

    def __call__(self) -> BinaryIO:
        """Its bytes. Raises OSError."""
        with open(self.shard, "rb") as stream:
            stream.seek(self.offset)
            return io.BytesIO(stream.read(self.size))

    def stamp(self) -> Stamp:
        """Its own size, and its shard's time. Raises OSError."""
        changed_ns = os.stat(self.shard).st_mtime_ns
        return Stamp(f"{os.path.abspath(self.shard)}:{self.offset}", self.size, changed_ns)


_Sample = dict[str, _Member]  # extension without its dot -> its member


@dataclass
class ShardPictures:
    """The labelled pictures of tar files, in columns; of a row, its picture."""

    shards: list[Path]
    shard: array[int] = field(default_factory=lambda: array("i"))  # its place among them
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    keys: Texts = field(default_factory=Texts)
    extensions: Words = field(default_factory=Words)
    labels: Words = field(default_factory=Words)
    splits: Words = field(default_factory=Words)

    def __call__(self, row: int) -> Candidate:
        """The picture of a row."""
        shard, file = str(self.shards[self.shard[row]]), f"{self.keys[row]}.{self.extensions[row]}"
        return Candidate(
            name=plain(file.rpartition("/")[2]),
            place=plain(f"{shard}: {file}"),
            opener=ShardPicture(shard, self.offsets[row], self.sizes[row]),
        )

    def said(self, row: int) -> str:
        """Where it is, for messages."""
        return plain(f"{self.keys[row]} in {self.shards[self.shard[row]].name}")


def load_shards(
    pattern: str, *, seed: int, cache_dir: Path | None = None, on_progress: Progress | None = None
) -> Dataset:
    """The labelled pictures of uncompressed tar files, checked and split; they are read where they lie.

    Raises DataError for a shard that is missing, truncated, compressed or without labelled pictures, and as
    `listing.load_rows` does.
    """
    shards = expand(pattern)
    found = ShardPictures(shards)
    without = 0
    for done, shard in enumerate(shards, start=1):
        without += _add(shard, done - 1, found)
        if on_progress is not None:
            on_progress("reading shards", done, len(shards))
    if not found.keys:
        raise DataError(
            f"{plain(pattern)} holds no pictures: {without} samples of other kinds in {len(shards)} shards",
            f"a sample is KEY.jpg (or {', '.join(PICTURES[2:])}) beside KEY.cls, KEY.json or KEY.txt",
        )
    notes = [f"{without} samples without a picture were not used"] if without else []
    path = Path(pattern)
    name = path.absolute().parent.name if re.search(r"[{*?\[]", path.name) else path.stem
    about = About(where=plain(pattern), name=plain(name), notes=tuple(notes))
    listed = Listed(found, found.labels, found.splits, found.said)
    return load_rows(listed, about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def expand(pattern: str) -> list[Path]:
    """The shards that a path with {00000..00099}, {a,b}, * or ? names. Raises DataError where there are none."""
    paths: list[Path] = []
    for text in _braces(pattern):
        path = Path(text).expanduser()
        if re.search(r"[*?\[]", path.name):
            paths += sorted(path.parent.glob(path.name))
        else:
            paths.append(path)
    if not paths:
        raise DataError(f"{plain(pattern)} names no shard", _HINT)
    return list(dict.fromkeys(paths))


def _braces(text: str) -> list[str]:
    found = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", text)
    if found is None:
        return [text]
    first, last, words = found.groups()
    if words is not None:
        choices = words.split(",")
    elif int(last) - int(first) >= _MOST_SHARDS or int(last) < int(first):
        raise DataError(f"{found.group()} in {plain(text)} is no range of shards", _HINT)
    else:
        choices = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    rest = _braces(text[found.end() :])
    return [text[: found.start()] + choice + end for choice in choices for end in rest]


def _add(shard: Path, number: int, to: ShardPictures) -> int:
    """Adds the labelled pictures of one shard; how many of its samples have no picture."""
    without = 0
    try:
        with shard.open("rb") as stream:
            for key, sample in _samples(shard, stream):
                extension = next((e for e in PICTURES if e in sample), None)
                if extension is None:
                    without += 1
                    continue
                label, split = _label(stream, sample, f"{key} of {shard}")
                member = sample[extension]
                to.shard.append(number)
                to.offsets.append(member.offset)
                to.sizes.append(member.size)
                to.keys.append(key)
                to.extensions.append(extension)
                to.labels.append(label)
                to.splits.append(split or split_of(shard))
    except (OSError, tarfile.TarError) as error:
        raise read_error(shard, error) from error
    return without


def _samples(shard: Path, stream: BinaryIO) -> Iterator[tuple[str, _Sample]]:
    """Each key and its sample, in the order in which they begin. A key is a member's path up to the first dot of its
    name, in lower case what follows."""
    keys, extensions, places = Texts(), Words(), array("q")
    hashes = array("q")  # of the keys: a dict of these would take more than all columns
    for name, member in _members(shard, stream):
        folder, file = posixpath.split(posixpath.normpath(name))
        stem, _, extension = file.partition(".")
        if stem and extension:  # hidden files and files without an extension belong to no sample
            key = posixpath.join(folder, stem)
            keys.append(key)
            extensions.append(extension.casefold())
            places.extend(member)
            hashes.append(hash(key))
    _, begins, which = np.unique(np.asarray(hashes), return_index=True, return_inverse=True)
    begins = begins[which]
    for begin, rows in itertools.groupby(np.argsort(begins, kind="stable"), begins.__getitem__):
        key, sample = keys[begin], _Sample()
        for row in rows:
            extension = extensions[row]
            if extension in sample:
                raise DataError(
                    f"{shard} holds {plain(f'{key}.{extension}')} twice", "make the shard anew, with every file once"
                )
            sample[extension] = _Member(*places[2 * row : 2 * row + 2])
        yield key, sample


def _members(shard: Path, stream: BinaryIO) -> Iterator[tuple[str, _Member]]:
    """The plain files of an uncompressed tar. Raises DataError where it does not end as a tar does."""
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for info in tar:
                if info.isreg() and not info.issparse():
                    yield info.name, _Member(info.offset_data, info.size)
                tar.members.clear()  # type: ignore[attr-defined]  # it would hold all of them
            end = tar.offset
    except tarfile.ReadError as error:
        if "end of data" in str(error):
            raise _truncated(shard) from error
        raise DataError(
            f"{shard} is not an uncompressed tar file",
            "pictures are read in any order, which a compressed one does not allow: gunzip it first",
        ) from error
    stream.seek(end)
    if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:  # cut between or inside two headers
        raise _truncated(shard)


def _truncated(shard: Path) -> DataError:
    return DataError(f"{shard} is truncated: it ends before its end mark", "copy it again, whole")


def _label(stream: BinaryIO, sample: _Sample, what: str) -> tuple[str, str]:
    """The class and, from .json alone, the split of a sample; empty where it has none."""
    kind = next((kind for kind in LABELS if kind in sample), None)
    if kind is None:
        return "", ""
    member = sample[kind]
    stream.seek(member.offset)
    try:
        text = stream.read(min(member.size, LABEL_BYTES)).decode()
        if kind != "json":
            return text.strip(), ""
        said = json.loads(text)
    except ValueError as error:
        raise DataError(f"the .{kind} of {plain(what)} cannot be read: {plain(str(error))}", "write it anew") from error
    if not isinstance(said, dict):
        raise DataError(f"the .json of {plain(what)} is no object", 'it holds {"label": NAME}')
    label, split = said.get("label"), said.get("split")
    return "" if label is None else str(label), "" if split is None else str(split)
