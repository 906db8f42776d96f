"""A run directory: its manifest, what each stage made, and which stages need not run again.

    RUN/manifest.json   versions, host, settings; per stage: the key of its inputs, its value, its files' hashes
    RUN/<files>         written under a temporary name, then renamed

A stage is done when the manifest holds the same key and every file it made still has its hash; the key covers the
stage's own settings and sources and the keys of the stages before it (key.py), so one change redoes what depends on it
and no more. What cannot be read of a manifest is kept beside it (manifest.broken-1.json) and done again.
A run may have a donor, another run of the same network: a stage that the donor finished with this very key is taken
over, its files linked.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from filelock import FileLock, Timeout

from edgefit_toolkit import __version__
from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.files import inside, sha256_of, write_atomic
from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.run_directory.place import check_keeps
from edgefit_toolkit.records import as_json

SCHEMA = "edgefit.run/1"
MANIFEST, LOCK = "manifest.json", ".lock"
OURS = ("manifest.broken-", "training-state", "checkpoint.")  # a run whose manifest is gone
NEEDED_BYTES = 200_000_000  # a checkpoint, its optimizer state, two .tflite files and a report of a large variant

# What a process that was killed leaves: the ladder's folder, mkstemp's names (files.write_atomic), partial files
LEFT_BEHIND = re.compile(r"\.ladder-.*|\..+\.[a-z0-9_]{8}|\..*\.unchecked|.*\.part")

R = TypeVar("R")


class Entry(msgspec.Struct):
    """What the manifest holds of a finished stage."""

    key: str
    files: dict[str, str]  # name -> SHA-256
    value: Any
    parts: dict[str, Any] = {}  # of the key


@dataclass
class Run:
    """An open, locked run directory."""

    path: Path
    manifest: dict[str, Any]
    warn: Callable[[str], None]  # hears what was broken in the manifest
    donor: Path | None = None  # a run directory whose finished stages count here, too

    def done(self, stage: str, key: Key, result: type[R]) -> R | None:
        """What the stage recorded when it ran with this very key, here or at the donor's, and its files are intact;
        else None."""
        own = stage in self.manifest["stages"] and not self.why_again(stage, key)
        if not own and not self._take_over(stage, key):
            return None
        try:
            return msgspec.convert(self.manifest["stages"][stage]["value"], result)
        except msgspec.ValidationError as error:
            self.manifest = _without(self.path, self.manifest, {stage: str(error)}, self.warn)
            return None

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

    def _take_over(self, stage: str, key: Key) -> bool:
        """Record the donor's entry with this key as our own, its files linked: every writer of a file renames."""
        if self.donor is None:
            return False
        try:
            entry = json.loads((self.donor / MANIFEST).read_bytes())["stages"][stage]
            files = msgspec.convert(entry, Entry).files
            if entry["key"] != key.hash:
                return False
            found = {name: inside(self.donor, name) for name in files}
            if any(sha256_of(found[name]) != digest for name, digest in files.items()):
                return False
        except (OSError, ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError, InputError):
            return False  # it is no donor: the work is done here
        self.forget_report()
        for name, file in found.items():
            part = self.path / f".{name}.part"
            part.unlink(missing_ok=True)
            try:
                part.hardlink_to(file)
            except OSError:  # another file system, or one without links
                shutil.copy2(file, part)
            os.replace(part, self.path / name)
            part.unlink(missing_ok=True)  # a rename onto the same file leaves it
        self.manifest["stages"][stage] = entry
        self.save()
        return True

    def forget_report(self) -> None:
        """A report of what is about to be replaced would describe other files than those beside it."""
        for name in ("report.json", "report.md", "report.html"):
            (self.path / name).unlink(missing_ok=True)

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


def _check_ours(path: Path) -> None:
    names = sorted(p.name for p in path.iterdir())
    others = [name for name in names if not name.startswith(".")]
    if MANIFEST in names or (LOCK in names and any(name.startswith(OURS) for name in names)):
        return
    if others:
        raise OutputError(
            f"{path} is not a run directory: it holds {', '.join(others[:3])} and no {MANIFEST}",
            "choose an empty or new directory with --out DIR",
        )


def _read_manifest(path: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """The manifest without what is broken in it."""
    file = path / MANIFEST
    fresh = {"schema": SCHEMA, "stages": {}}
    try:
        manifest = json.loads(file.read_bytes())
        if not isinstance(manifest, dict) or not isinstance(manifest.get("stages"), dict):
            raise ValueError("it is no list of stages")
        if manifest.get("schema") != SCHEMA:
            raise ValueError(f"schema {manifest.get('schema')!r}, expected {SCHEMA!r}")
    except FileNotFoundError:
        return fresh
    except (OSError, ValueError, RecursionError) as error:
        warn(f"{MANIFEST} cannot be read: {error}; {_set_aside(path)}")
        return fresh
    broken = {}
    for name, entry in manifest["stages"].items():
        try:
            msgspec.convert(entry, Entry)
        except msgspec.ValidationError as error:
            broken[name] = str(error)
    if not isinstance(manifest.get("created", ""), str):
        del manifest["created"]
    return _without(path, manifest, broken, warn) if broken else manifest


def _without(
    path: Path, manifest: dict[str, Any], broken: dict[str, str], warn: Callable[[str], None]
) -> dict[str, Any]:
    """The manifest without the broken stages (name -> why), the whole one being set aside."""
    what = ", ".join(f"stage {name} cannot be read ({why})" for name, why in broken.items())
    warn(f"{MANIFEST}: {what}; {_set_aside(path)}")
    whole = {name: entry for name, entry in manifest["stages"].items() if name not in broken}
    write_atomic(path / MANIFEST, json.dumps(manifest | {"stages": whole}, indent=1) + "\n")
    return manifest | {"stages": whole}


def _set_aside(path: Path) -> str:
    """Renames the manifest, never onto another one."""
    number = next(n for n in itertools.count(1) if not (path / f"manifest.broken-{n}.json").exists())
    kept = (path / MANIFEST).rename(path / f"manifest.broken-{number}.json")
    return f"kept as {kept.name}, and what it told of is done again"


def _sweep(path: Path) -> None:
    for left in path.iterdir():
        if LEFT_BEHIND.fullmatch(left.name):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def open_run(
    path: Path, *, settings: dict[str, Any], environment: dict[str, Any], warn: Callable[[str], None] = lambda _: None,
    donor: Path | None = None,
) -> Iterator[Run]:  # fmt: skip
    """Create or reopen a run directory and hold its lock. `warn` hears what of it was broken and is set aside; the
    finished stages of the run directory `donor` count here, too.

    Raises OutputError when it cannot be written, is nearly full, belongs to something else, another edgefit uses it, or
    it holds a finished run of other data, another device or budget.
    """
    _check_writable(path)
    _check_ours(path)
    with locked(path, "edgefit"):
        manifest = _read_manifest(path, warn)
        check_keeps(path, manifest.get("settings"), settings)
        _sweep(path)
        manifest.setdefault("created", datetime.now(UTC).isoformat(timespec="seconds"))
        manifest |= {"edgefit": __version__, "settings": settings, "environment": environment}
        run = Run(path, manifest, warn, donor)
        run.save()
        yield run


@contextlib.contextmanager
def locked(folder: Path, who: str) -> Iterator[None]:
    """Holds the folder's lock. Raises OutputError where another one (`who`) does, or it cannot be written."""
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"another {who} is working in {folder}", "wait for it, or choose another directory with --out DIR"
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror}", "choose another directory with --out DIR"
        ) from error
    try:
        yield
    finally:
        lock.release()
