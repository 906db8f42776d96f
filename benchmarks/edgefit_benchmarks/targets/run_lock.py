"""The name of one run on devices, and which other runs have ended.

Two edgefits on one phone must neither share files nor remove each other's, so every run has a folder of its own there.
As long as it lives it holds a lock on this host that bears the folder's name; the system releases it however it ends.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

NAME = re.compile(r"run-[0-9a-f]{16}")


class RunLock:
    """Held from its making until `release`, or the end of the process."""

    def __init__(self) -> None:
        self.name = f"run-{secrets.token_hex(8)}"
        self._path = _folder() / self.name
        self._lock = FileLock(self._path, thread_local=False)
        with contextlib.suppress(OSError):  # without a lock the run's folder is told to be dead by its age
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)

    def release(self) -> None:
        """May be called twice."""
        if self._lock.is_locked:
            self._lock.release()
            self._path.unlink(missing_ok=True)


def dead(names: Iterable[str], old: Iterable[str]) -> tuple[str, ...]:
    """Of the folders on a device, those whose run has ended: its lock is free, or it has none here and is `old`."""
    old = set(old)
    return tuple(name for name in names if (_is_free(name) if _is_known(name) else name in old))


def forget(names: Iterable[str]) -> None:
    """Remove the locks of dead runs whose folders are gone."""
    for name in filter(_is_known, names):
        with contextlib.suppress(OSError):
            (_folder() / name).unlink()


def _folder() -> Path:
    import platformdirs  # here: a list of flags needs none of it

    return Path(platformdirs.user_cache_path("edgefit")) / "device-runs"


def _is_known(name: str) -> bool:
    return NAME.fullmatch(name) is not None and (_folder() / name).is_file()


def _is_free(name: str) -> bool:
    try:
        with FileLock(_folder() / name, blocking=False, preserve_lock_file=True):
            pass
    except OSError:
        return False
    return True
