"""What a network gave for every picture, in files and not in memory, and how far that is: a killed run goes on there.

    DIR/NAME.bin      rows of one kind, such as pooled features, float32 [pictures, C]
    DIR/store.json    what they belong to, how many pictures are safely there, and the seconds that they took
    DIR/all.bin       pooled features of all processes, in the first one's folder, where the others' lie beside it

The files are mapped: the system keeps in memory what is looked at, and takes that memory back when others need it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.files import take_room, write_atomic

SCHEMA = "edgefit.features/1"
FOLDER = "features-{rank}"  # of each process of a training, side by side
ANSWERS = "answers-{rank}"  # likewise, a teacher's
SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class Rows:
    """What one of the files holds."""

    count: int
    shape: tuple[int, ...]  # of a row
    dtype: torch.dtype

    @property
    def numbers(self) -> int:
        """In all rows."""
        return self.count * math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Of the file."""
        return self.numbers * self.dtype.itemsize

    @property
    def told(self) -> list[int | str]:
        """As a document tells it."""
        return [self.count, *self.shape, str(self.dtype)]


class FeatureStore:
    """The files of one process of one training, in a folder of its own; with None in one that goes with this object.

    Every method raises OutputError where the disk is too small or cannot be written.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._lasts = folder is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="edgefit-"))
        if not self._lasts:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.key = key
        self.found = 0  # pictures that an earlier run has left
        self.done = 0  # by now
        self.seconds = 0.0  # that these took
        self._holds: dict[str, Rows] = {}
        self._saved_s = time.monotonic()

    def open(self, holds: Mapping[str, Rows]) -> dict[str, Tensor]:
        """The rows [count, ...] of each file, to be read and written in place.

        Made anew, or those of a run with this very key; `found` tells which.
        """
        self._holds = dict(holds)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            left = self._left()
            self.found = self.done = int(left.get("done", 0))
            self.seconds = float(left.get("seconds", 0.0))
            if not left:
                (self.folder / "store.json").unlink(missing_ok=True)
                for name, rows in holds.items():
                    with self._path(name).open("wb") as file:
                        take_room(file, rows.bytes)
                self.save()
        except OSError as error:
            raise self._error(error) from error
        return {name: _mapped(self._path(name), rows) for name, rows in holds.items()}

    def advance(self, count: int, seconds: float) -> None:
        """So many more pictures are in all rows, `seconds` after the first was begun; now and then that is saved."""
        self.done += count
        self.seconds = seconds
        if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Makes what is there last."""
        if self._lasts:
            try:
                for name in self._holds:
                    with self._path(name).open("r+b") as file:
                        os.fsync(file.fileno())
                document = self._document() | {"done": self.done, "seconds": self.seconds}
                write_atomic(self.folder / "store.json", json.dumps(document))
            except OSError as error:
                raise self._error(error) from error
        self._saved_s = time.monotonic()

    def features_of_all(self, views: int, counts: Sequence[int]) -> Tensor | None:
        """[views, N, C]: what each process, with so many of N pictures, has as "features"; picture i is process
        i % size's. In a file and not in memory; None where the others' stores are not beside this one, or not whole.

        For the first process, when all have saved.
        """
        own = self._holds["features"]
        parts = [self._beside(rank, Rows(views * count, own.shape, own.dtype)) for rank, count in enumerate(counts)]
        if not self._lasts or any(part is None for part in parts):
            return None
        whole = Rows(views * sum(counts), own.shape, own.dtype)
        try:
            with self._path("all").open("wb") as file:
                take_room(file, whole.bytes)
        except OSError as error:
            raise self._error(error) from error
        features = _mapped(self._path("all"), whole).view(views, sum(counts), *own.shape)
        for rank, part in enumerate(parts):
            assert part is not None
            features[:, rank :: len(counts)] = part.view(views, counts[rank], *own.shape)
        return features

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _document(self) -> dict[str, Any]:
        holds = {name: rows.told for name, rows in self._holds.items()}
        return {"schema": SCHEMA, "key": self.key, "holds": holds}

    def _left(self) -> dict[str, Any]:
        """What a run with this very key has left; empty where that is damaged."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document: dict[str, Any] = json.loads((self.folder / "store.json").read_text("utf-8"))
            whole = all(self._path(name).stat().st_size == rows.bytes for name, rows in self._holds.items())
            if whole and {name: document[name] for name in self._document()} == self._document():
                return document
        return {}

    def _beside(self, rank: int, rows: Rows) -> Tensor | None:
        """The features of another process of this training, where all of them are there."""
        folder = self.folder.with_name(FOLDER.format(rank=rank))
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads((folder / "store.json").read_text("utf-8"))
            told = document["key"], document["holds"]["features"]
            if told == (self.key, rows.told) and document["done"] >= rows.count:
                return _mapped(folder / "features.bin", rows)
        return None

    def _error(self, error: OSError) -> OutputError:
        needed = sum(rows.bytes for rows in self._holds.values())
        elsewhere = "choose another --out" if self._lasts else "set TMPDIR to another place"
        return OutputError(
            f"cannot keep the features of the pictures in {self.folder}: {error.strerror}",
            f"they take {needed / 1e9:.1f} GB: free as much, or {elsewhere}, and run the same command again",
        )


def _mapped(path: Path, rows: Rows) -> Tensor:
    if rows.numbers == 0:
        return torch.empty((rows.count, *rows.shape), dtype=rows.dtype)
    return torch.from_file(str(path), shared=True, size=rows.numbers, dtype=rows.dtype).view(rows.count, *rows.shape)
