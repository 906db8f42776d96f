"""Native libraries of an Android package: do they load where memory pages have 16 KB, as newer phones' do?

Google Play asks it of every app for Android 15 and later. Each segment that is loaded must be aligned to 16 KB, and a
library that lies uncompressed in an APK must start at a multiple of 16 KB there. 32-bit processors have 4 KB pages.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefit_toolkit.data.readers.extras import need
from edgefit_toolkit.errors import InputError

PAGE_BYTES = 16 * 1024
PACKAGES = (".apk", ".aab", ".aar")
_LOCAL_HEADER_BYTES, _NAME_AND_EXTRA_AT = 30, 26  # PKWARE's APPNOTE.TXT, 4.3.7


@dataclass(frozen=True)
class Library:
    """One ELF file."""

    name: str
    machine: str  # such as AArch64
    bits: int
    align_bytes: int  # the least alignment of its loaded segments
    start_bytes: int | None = None  # where it starts in a package; None: it is unpacked before it is loaded

    @property
    def fits(self) -> bool:
        """Whether it loads where pages have 16 KB, or runs where they never have."""
        aligned = self.align_bytes % PAGE_BYTES == 0 and (self.start_bytes or 0) % PAGE_BYTES == 0
        return self.bits == 32 or aligned


def libraries(path: Path) -> list[Library]:
    """The library `path` (.so), or those in a package (.apk, .aab, .aar), by name.

    Raises InputError for a file that is neither or cannot be read, and where the extra `android` is not installed.
    """
    try:
        if path.suffix != ".so":
            return sorted(_packed(path), key=lambda library: library.name)
        return [_library(path.name, path.read_bytes())]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {error}", f"name a .so or one of {', '.join(PACKAGES)}") from error


def _packed(path: Path) -> Iterator[Library]:
    with zipfile.ZipFile(path) as package, path.open("rb") as raw:
        for entry in package.infolist():
            if not entry.filename.endswith(".so"):
                continue
            start = None
            if entry.compress_type == zipfile.ZIP_STORED and path.suffix == ".apk":
                raw.seek(entry.header_offset + _NAME_AND_EXTRA_AT)
                lengths = raw.read(4)
                more = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
                start = entry.header_offset + _LOCAL_HEADER_BYTES + more
            yield _library(entry.filename, package.read(entry), start)


def _library(name: str, data: bytes, start_bytes: int | None = None) -> Library:
    elf = need("elftools.elf.elffile", "android", "16 KB pages of native libraries")
    from elftools.common.exceptions import ELFError

    try:
        file = elf.ELFFile(io.BytesIO(data))
        loaded = [segment["p_align"] for segment in file.iter_segments("PT_LOAD")]
    except ELFError as error:
        raise InputError(f"{name} is no ELF library: {error}") from error
    if not loaded:
        raise InputError(f"{name} loads nothing: it has no PT_LOAD segment")
    return Library(name, file.get_machine_arch(), file.elfclass, min(loaded), start_bytes)
