"""A run directory: its manifest, what each stage made, and which stages need not run again.

    RUN/manifest.json   versions, host, settings; per stage: the key of its inputs, its value, its files' hashes
    RUN/<files>         written under a temporary name, then renamed

A stage is done when the manifest holds the same key and every file it made still has its hash; the key covers the
stage's own settings and sources and the keys of the stages before it (key.py), so one change redoes what depends on it
and no more.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from filelock import FileLock, Timeout

from edgefit_toolkit import __version__
from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.files import sha256_of, write_atomic
from edgefit_toolkit.pipeline.key import Key
from edgefit_toolkit.records import as_json

SCHEMA = "edgefit.run/1"
MANIFEST = "manifest.json"
NEEDED_BYTES = 200_000_000  # a checkpoint, its optimizer state, two .tflite files and a report of a large variant

R = TypeVar("R")


@dataclass
class Run:
    """An open, locked run directory."""

    path: Path
    manifest: dict[str, Any]

    def done(self, stage: str, key: Key, result: type[R]) -> R | None:
        """What the stage recorded when it ran with this very key and its files are intact; else None."""
        if stage not in self.manifest["stages"] or self.why_again(stage, key):
            return None
        return msgspec.convert(self.manifest["stages"][stage]["value"], result)

    def why_again(self, stage: str, key: Key) -> str:
        """Why an older result of the stage cannot be used: what it depends on has changed, or a file that it made.

        Empty when it can, and when there is none.
        """
        entry = self.manifest["stages"].get(stage)
        if not entry:
            return ""
        if entry["key"] != key.hash:
            return key.why_not(entry["parts"]) if "parts" in entry else "what it depended on was not recorded"
        for name, digest in entry["files"].items():
            file = self.path / name
            if not file.is_file():
                return f"{name} is gone"
            if sha256_of(file) != digest:
                return f"{name} is not the file that it made"
        return ""

    def finish(self, stage: str, key: Key, result: Any, files: list[Path], seconds: float) -> None:
        """Record a finished stage: `result` is a dataclass of JSON-able fields, `files` lie inside the run."""
        self.manifest["stages"][stage] = {
            "key": key.hash,
            "parts": key.parts,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
            "files": {str(f.relative_to(self.path)): sha256_of(f) for f in files},
            "value": as_json(result),
        }
        self.save()

    def save(self) -> None:
        """Write the manifest."""
        write_atomic(self.path / MANIFEST, json.dumps(self.manifest, indent=1) + "\n")


def _check_writable(path: Path) -> None:
    """Fail before any work is done, not after an hour of it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"edgefit")
    except OSError as error:
        raise OutputError(
            f"cannot write to the run directory {path}: {error.strerror}",
            "choose another with --out DIR, or make room and check its permissions",
        ) from error
    free_bytes = shutil.disk_usage(path).free
    if free_bytes < NEEDED_BYTES:
        raise OutputError(
            f"the disk of {path} has {free_bytes / 1e6:.0f} MB free; a run needs up to {NEEDED_BYTES / 1e6:.0f} MB",
            "make room, or choose another place with --out DIR",
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.exists():
        others = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
        if others:
            raise OutputError(
                f"{path} is not a run directory: it holds {', '.join(others[:3])} and no {MANIFEST}",
                "choose an empty or new directory with --out DIR",
            )
        return {"schema": SCHEMA, "stages": {}}
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
        if manifest["schema"] != SCHEMA or not isinstance(manifest["stages"], dict):
            raise ValueError(f"schema {manifest['schema']!r}, expected {SCHEMA!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{file} cannot be read: {error}", "remove that file to start this run anew, or choose another --out DIR"
        ) from error
    return manifest


@contextlib.contextmanager
def open_run(path: Path, *, settings: dict[str, Any], environment: dict[str, Any]) -> Iterator[Run]:
    """Create or reopen a run directory and hold its lock.

    Raises OutputError when it cannot be written, is nearly full, belongs to something else, or another edgefit uses it.
    """
    _check_writable(path)
    manifest = _read_manifest(path)
    lock = FileLock(path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"another edgefit is working in {path}", "wait for it, or choose another directory with --out DIR"
        ) from error
    try:
        manifest.setdefault("created", datetime.now(UTC).isoformat(timespec="seconds"))
        manifest |= {"edgefit": __version__, "settings": settings, "environment": environment}
        run = Run(path, manifest)
        run.save()
        yield run
    finally:
        lock.release()
