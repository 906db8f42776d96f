"""Files from the network: pinned by sha256, resumed after a break, never left half written under their own name."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.progress import Progress, ignore_progress

Hear = Callable[[int, int | None], None]  # bytes here, bytes in all (None: the server does not say)

OLD_S = 30 * 24 * 3600.0  # partial files that are older are removed
_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Pinned:
    """A file on the network whose bytes are known beforehand."""

    url: str
    sha256: str  # the first digits alone (8 at least) where the publisher gives no more
    size_bytes: int | None = None  # what is longer is cut off and refused
    mirrors: Sequence[str] = ()  # hold the same bytes


def fetch(
    file: Pinned,
    dest: Path,
    *,
    on_progress: Progress | None = None,
    label: str = "downloading",
    attempts: int = 3,
    wait_s: float = 1.0,
    by_hand: str = "",
) -> Path:
    """Puts the file at `dest` and returns `dest`; at once when it is there already with the right hash.

    What has arrived stays in `dest` + ".part" and the next call goes on from there; one process at a time does, the
    others wait for it. The file's addresses are tried in turn, each up to `attempts` times with `wait_s` between.
    `by_hand` ends the hint: what to do with a file fetched some other way. Raises DownloadError with everything that
    was tried.
    """
    part, hear = dest.with_name(f"{dest.name}.part"), on_progress or ignore_progress
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        while not (dest.is_file() and sha256_of(dest).startswith(file.sha256)):
            with _alone(part, hear, label, file.size_bytes) as mine:
                if mine:
                    tried = _from_any(file, part, attempts, wait_s, lambda have, of: hear(label, have, of or 0))
                    if tried is None:
                        os.replace(part, dest)
                        return dest
                    raise DownloadError(
                        f"{dest.name} could not be fetched; tried " + "; ".join(dict.fromkeys(tried)),
                        "check the network connection and run the same command again, it goes on where it stopped"
                        + (f"; or {by_hand}" if by_hand else ""),
                    )
    except OSError as error:
        raise DownloadError(
            f"cannot write {dest}: {error}",
            "free some disk space or choose another cache directory",
        ) from error
    return dest


@contextmanager
def _alone(part: Path, on_progress: Progress, label: str, size_bytes: int | None) -> Iterator[bool]:
    """Holds the partial file's lock, after waiting for whoever holds it; False when they have taken it away.

    An empty one is not left behind, nor are those of other files that nobody has gone on with for OLD_S.
    """
    with part.open("ab") as file:
        while not _lock(file):
            with contextlib.suppress(FileNotFoundError):
                on_progress(f"{label} (another edgefit does)", part.stat().st_size, size_bytes or 0)
            time.sleep(0.2)
        try:
            mine = part.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            mine = False
        try:
            yield mine
        finally:
            with contextlib.suppress(FileNotFoundError):
                if mine and part.stat().st_size == 0:
                    part.unlink()
    for other in part.parent.glob("*.part"):
        with contextlib.suppress(OSError), other.open("ab") as file:
            if time.time() - other.stat().st_mtime > OLD_S and _lock(file):
                other.unlink()


def _lock(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: nobody else is kept out
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _from_any(file: Pinned, part: Path, attempts: int, wait_s: float, hear: Hear) -> list[str] | None:
    """Completes `part` from the first address that can; what was wrong with each where none can."""
    tried: list[str] = []
    for url in (file.url, *file.mirrors):
        for attempt in range(attempts):
            if attempt:
                time.sleep(wait_s * attempt)
            fault = _fetch_once(url, file, part, hear)
            if fault is None:
                return None
            tried.append(f"{url}: {fault.text}")
            if not fault.passing:
                break
    return tried


class _Fault:
    def __init__(self, text: str, *, passing: bool) -> None:
        self.text = text
        self.passing = passing  # worth another attempt at the same address


def _fetch_once(url: str, file: Pinned, part: Path, hear: Hear) -> _Fault | None:
    have, size_bytes = part.stat().st_size, file.size_bytes
    if size_bytes is not None and have > size_bytes:
        os.truncate(part, 0)
        have = 0
    if size_bytes is None or have < size_bytes:
        fault = _receive(url, part, have, size_bytes, hear)
        if fault is not None:
            return fault
    found = sha256_of(part)
    if not found.startswith(file.sha256):
        os.truncate(part, 0)  # not unlinked: another process may be waiting for this very file
        # Bytes left by an earlier address can spoil a resumed file: those deserve a clean try.
        return _Fault(f"sha256 is {found}, the pinned one is {file.sha256}", passing=have > 0)
    return None


def _receive(url: str, part: Path, have: int, size_bytes: int | None, hear: Hear) -> _Fault | None:
    """Appends what is missing to `part`."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S) as response:
            if response.status_code == 416 and have:  # nothing after `have`: the hash decides
                return None
            if response.status_code >= 400:
                return _Fault(
                    f"HTTP {response.status_code} {response.reason_phrase}".rstrip(),
                    passing=response.status_code in (408, 425, 429) or response.status_code >= 500,
                )
            if response.status_code != 206:
                have = 0  # the server sends the whole file again
            total = size_bytes
            length = response.headers.get("Content-Length", "")
            if total is None and length.isdecimal():
                total = have + int(length)
            with part.open("ab" if have else "wb") as file:
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    have += len(chunk)
                    if size_bytes is not None and have > size_bytes:
                        return _Fault(f"longer than the {size_bytes} bytes that it should have", passing=False)
                    file.write(chunk)
                    hear(have, total)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _Fault(_said(error), passing=isinstance(error, httpx.TransportError))
    if size_bytes is not None and have < size_bytes:
        return _Fault(f"ended after {have} of {size_bytes} bytes", passing=True)
    return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
