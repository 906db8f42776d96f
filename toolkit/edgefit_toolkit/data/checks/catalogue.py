"""What was found of every picture, kept beside the cache: the next start looks at files' sizes and times alone.

One SQLite file a data set. A picture is known by its place, its size and the time of its last change; of what cannot be
used, the reason is kept. Several processes may read and write it at once.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import PIL

from edgefit_toolkit.data.checks.near_copies import Look
from edgefit_toolkit.data.dataset import Stamp

SCHEMA = 1
WAIT_S = 60.0  # for another process that is writing
_KEY_BYTES = 16  # of a place's hash: a row is as small for a long path as for a short one
_ASKED_AT_ONCE = 512  # places; SQLite before 3.32 takes no more than 999
_SELECT = "SELECT place, size_bytes, changed_ns, sha256, look, fault FROM pictures"
_SET_UP = """
CREATE TABLE IF NOT EXISTS judge (said TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (
    place BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
    sha256 BLOB, look BLOB, fault TEXT
) WITHOUT ROWID;
"""


class Finding(NamedTuple):
    """What looking at a picture found: its hash and look, or what is wrong with it."""

    sha256: bytes
    look: Look
    fault: str | None = None


@dataclass
class Catalogue:
    """The findings of one data set. `notes` says in sentences what was wrong with the file, if anything was.

    A damaged file is set aside and made anew; where none can be kept, nothing is found and nothing is stored.
    """

    path: Path

    def __post_init__(self) -> None:
        self.notes: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._open()

    def look_up(self, stamps: Sequence[Stamp]) -> list[Finding | None]:
        """What is known of each picture as it lies there now; None for what is new or has changed."""
        if self._connection is None:
            return [None] * len(stamps)
        try:
            return self._rows(self._connection, stamps)
        except sqlite3.Error as error:
            self._failed(error)
            return [None] * len(stamps)

    def store(self, found: Sequence[tuple[Stamp, Finding]]) -> None:
        """Keeps these, all or none."""
        if self._connection is None or not found:
            return
        rows = [
            (_key(stamp), stamp.size_bytes, stamp.changed_ns, one.sha256, one.look, one.fault) for stamp, one in found
        ]
        try:
            with self._connection as transaction:
                transaction.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._failed(error)

    def close(self) -> None:
        """Gives the file back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> None:
        judge = f"edgefit catalogue {SCHEMA}, Pillow {PIL.__version__}"  # another one may find something else
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=WAIT_S)
            if self._connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("its pages do not fit together")
            self._connection.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not wait for one another
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SET_UP)
            with self._connection as transaction:
                if transaction.execute("SELECT said FROM judge").fetchall() != [(judge,)]:
                    transaction.executescript("BEGIN IMMEDIATE; DELETE FROM judge; DELETE FROM pictures;")
                    transaction.execute("INSERT INTO judge VALUES (?)", (judge,))
        except OSError as error:
            self.notes.append(f"no catalogue can be kept in {self.path.parent}: {error.strerror}")
        except sqlite3.Error as error:
            self._failed(error)

    def _rows(self, connection: sqlite3.Connection, stamps: Sequence[Stamp]) -> list[Finding | None]:
        keys = [_key(stamp) for stamp in stamps]
        known: dict[bytes, tuple[int, int, Finding]] = {}
        for at in range(0, len(keys), _ASKED_AT_ONCE):
            some = keys[at : at + _ASKED_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = connection.execute(f"{_SELECT} WHERE place IN ({marks})", some)
            for key, size, changed, sha256, look, fault in rows:
                known[key] = size, changed, Finding(sha256, look, fault)
        findings: list[Finding | None] = []
        for key, stamp in zip(keys, stamps, strict=True):
            size, changed, finding = known.get(key, (-1, -1, None))
            findings.append(finding if (size, changed) == (stamp.size_bytes, stamp.changed_ns) else None)
        return findings

    def _failed(self, error: sqlite3.Error) -> None:
        """Sets a damaged file aside and begins anew; goes on without one where it cannot be written or read."""
        self.close()
        if isinstance(error, sqlite3.OperationalError) or any("set aside" in note for note in self.notes):
            self.notes.append(f"the catalogue {self.path} cannot be used, pictures are checked without it: {error}")
            return
        aside = self.path.with_suffix(".damaged")
        with suppress(OSError):
            self.path.replace(aside)
        for beside in ("-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(self.path.name + beside).unlink()
        self.notes.append(f"the catalogue {self.path} was damaged ({error}): set aside as {aside.name}, and made anew")
        self._open()


def catalogue_file(cache_dir: Path, where: str) -> Path:
    """The file for the data set that `where` names."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", where)[-40:].strip("-")
    return cache_dir / "catalogues" / f"{words}-{hashlib.sha256(where.encode()).hexdigest()[:12]}.sqlite"


def _key(stamp: Stamp) -> bytes:
    return hashlib.blake2b(stamp.place.encode("utf-8", "surrogateescape"), digest_size=_KEY_BYTES).digest()
