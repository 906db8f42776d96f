"""Files and values: their hashes, and writing files whole."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

from edgefit_toolkit.errors import InputError

ZEROS = bytes(1 << 20)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def key_of(**inputs: Any) -> str:
    """One hash for everything that a result depends on (JSON-able values; order does not matter)."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write under a temporary name in the same folder, then rename: readers see the old file or the whole new one."""
    raw = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp makes it private; a run is as shareable as any other output
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def take_room(file: IO[bytes], size: int) -> None:
    """Makes a new file of zeros and takes its room on the disk: a full one is found now, not by a write into a mapping,
    which would end the process. Raises OSError."""
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for at in range(0, size, len(ZEROS)):
        file.write(ZEROS[: size - at])
    file.flush()


def inside(folder: Path, name: str) -> Path:
    """The regular file of this name below `folder`, as a document read back names it.

    A document may come from someone else: InputError where the name, or a link on the way, leads out of the folder or
    to no regular file.
    """
    try:
        path = (folder / name).resolve()
        ours = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError, RuntimeError):  # a null byte, a loop of links
        ours = False
    if not ours:
        raise InputError(f"{name!r} is no file of {folder}", "name a directory as edgefit left it")
    return folder / name


def read_verified(
    folder: Path, name: str, sha256: str, hint: str = "run the same `edgefit fit` command again"
) -> bytes:
    """The bytes of a file that a document of `folder` names. InputError unless it is inside, and is that very file."""
    path = inside(folder, name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"{name} is not the file that {folder} describes: its SHA-256 is {found[:12]}..., not {sha256[:12]}...",
            hint,
        )
    return content
