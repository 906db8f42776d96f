"""What the network gave for every picture, in files and not in memory, and how far that is: a killed run goes on.

DIR/features.bin          pooled features, float32 [passes, pictures, C]
DIR/activations.bin       activations at the cut, bfloat16 [passes, pictures, C, H, W]
DIR/val_features.bin      and val_activations.bin: the same of the val pictures, in float32
DIR/store.json            what they belong to, and how many rows of all passes, val the last, are safely there
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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.files import write_atomic

SCHEMA = "edgefit.features/1"
SAVE_EVERY_S = 60.0
STORE = "features"  # the folder, beside what else a training in progress leaves


@dataclass(frozen=True)
class Rows:
    """What one of the files holds."""

    count: int
    shape: tuple[int, ...]  # of a row
    dtype: torch.dtype

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return math.prod(self.shape) * self.dtype.itemsize


class FeatureStore:
    """The files of one training in the folder of its state, or in a temporary one, which goes with this object.

    Raises OutputError where the disk is too small or cannot be written.
    """

    def __init__(self, state_dir: Path | None, key: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="edgefit-")) if state_dir is None else state_dir / STORE
        self.key = key
        self.found = self.done = 0  # rows: of an earlier run, and by now
        self._lasts = state_dir is not None
        if not self._lasts:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._holds: dict[str, Rows] = {}
        self._handles: dict[str, int] = {}
        self._saved_s = time.monotonic()

    def open(self, holds: Mapping[str, Rows]) -> None:
        """Makes the files, or finds those of a run with this very key; `found` says how many rows they have."""
        self._holds = dict(holds)
        names = {name: [rows.count, *rows.shape, str(rows.dtype)] for name, rows in holds.items()}
        self._document = {"schema": SCHEMA, "key": self.key, "holds": names}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.found = self.done = self._left_by_another(holds)
            for name, rows in holds.items():
                handle = os.open(self._path(name), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
                self._handles[name] = handle
                size = rows.count * rows.row_bytes
                if hasattr(os, "posix_fallocate") and size:
                    os.posix_fallocate(handle, 0, size)  # a full disk is found now, not in an hour
                os.ftruncate(handle, size)
        except OSError as error:
            raise self._error(error) from error

    def write(self, name: str, at: int, values: Tensor) -> None:
        """Puts rows [n, ...] into a file, from row `at` on."""
        rows = self._holds[name]
        raw = values.to(rows.dtype).contiguous().view(torch.uint8).numpy().tobytes()
        position = at * rows.row_bytes
        try:
            while raw:
                written = os.pwrite(self._handles[name], raw, position)
                raw, position = raw[written:], position + written
        except OSError as error:
            raise self._error(error) from error

    def advance(self, count: int) -> None:
        """So many more rows have been written; every SAVE_EVERY_S that is made to last."""
        self.done += count
        if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Makes what has been written last."""
        if self._lasts:
            try:
                for handle in self._handles.values():
                    os.fsync(handle)
                write_atomic(self.folder / "store.json", json.dumps(self._document | {"done": self.done}))
            except OSError as error:
                raise self._error(error) from error
        self._saved_s = time.monotonic()

    def tensor(self, name: str) -> Tensor:
        """All rows [count, ...], where they lie: memory is taken for those that are looked at, and given back."""
        rows = self._holds[name]
        size = rows.count * math.prod(rows.shape)
        if size == 0:
            return torch.empty((rows.count, *rows.shape), dtype=rows.dtype)
        flat = torch.from_file(str(self._path(name)), shared=True, size=size, dtype=rows.dtype)
        return flat.view(rows.count, *rows.shape)

    def close(self) -> None:
        """Nothing more is written; what was can still be read."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles = {}

    def discard(self) -> None:
        """Removes the files, and those of trainings beside this one that were given up."""
        self.close()
        if not self._lasts:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for document in self.folder.parent.parent.glob(f"*/{STORE}/store.json"):
            with contextlib.suppress(OSError, ValueError):
                if json.loads(document.read_text("utf-8")).get("schema") == SCHEMA:
                    shutil.rmtree(document.parent, ignore_errors=True)
                    document.parent.parent.rmdir()  # if nothing else is in it

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _left_by_another(self, holds: Mapping[str, Rows]) -> int:
        """How many rows an earlier run of this very key has left; 0 where a file is missing or too short."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads((self.folder / "store.json").read_text("utf-8"))
            whole = all(self._path(n).stat().st_size == rows.count * rows.row_bytes for n, rows in holds.items())
            if whole and {name: document[name] for name in self._document} == self._document:
                return int(document["done"])
        with contextlib.suppress(OSError):
            (self.folder / "store.json").unlink()
        return 0

    def _error(self, error: OSError) -> OutputError:
        needed = sum(rows.count * rows.row_bytes for rows in self._holds.values())
        return OutputError(
            f"cannot keep the features of the pictures in {self.folder}: {error.strerror}",
            f"they take {needed / 1e9:.1f} GB: free as much, or choose another --out, and run the same command again",
        )
