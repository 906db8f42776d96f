"""Makes an Android program (libc: bionic) runnable in the arm64 phone, whose libc is glibc."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SHIM = Path(__file__).with_name("bionic_shim.c")
# Android's names of libraries whose functions the shim, glibc and its libm give
EMPTY = ("libc.so", "libm.so", "libdl.so", "liblog.so", "libEGL.so")

PT_DYNAMIC = 2
DT_INIT_ARRAY, DT_FINI_ARRAY, DT_INIT_ARRAYSZ, DT_FINI_ARRAYSZ = 25, 26, 27, 28
PREINIT = (32, 33)  # DT_PREINIT_ARRAY and its size: Android's holds sentinels alone
VERSIONS = (0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF)  # DT_VERSYM, DT_VERNEED, DT_VERNEEDNUM: they ask for Android's "LIBC"
DT_IGNORED = 0x6000000F


def for_glibc(program: bytes) -> bytes:
    """The program without symbol versions and without the sentinels (-1 first, 0 last) of its constructor lists."""
    image = bytearray(program)
    (headers,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for at in range(headers, headers + size * count, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", image, at)
        if kind != PT_DYNAMIC:
            continue
        for entry in range(offset, offset + length, 16):
            tag, value = struct.unpack_from("<QQ", image, entry)
            if tag in VERSIONS or tag in PREINIT:
                struct.pack_into("<QQ", image, entry, DT_IGNORED, 0)
            elif tag in (DT_INIT_ARRAY, DT_FINI_ARRAY):
                struct.pack_into("<Q", image, entry + 8, value + 8)
            elif tag in (DT_INIT_ARRAYSZ, DT_FINI_ARRAYSZ):
                struct.pack_into("<Q", image, entry + 8, value - 16)
    return bytes(image)


def make_runnable(program: Path, compiler: Path, folder: Path) -> tuple[Path, list[Path]]:
    """The changed program and the libraries that it needs beside it, made in `folder`."""
    changed = folder / program.name
    changed.write_bytes(for_glibc(program.read_bytes()))
    changed.chmod(0o755)

    def library(name: str, source: str | Path, *flags: str) -> Path:
        code = source if isinstance(source, Path) else folder / f"{name}.c"
        if isinstance(source, str):
            code.write_text(source)
        made = folder / name
        subprocess.run([str(compiler), "-shared", "-fPIC", "-O1", "-w", "-o", str(made), str(code), *flags], check=True)
        return made

    libraries = [library("libshim.so", SHIM, "-ldl")]
    libraries += [library(name, "\n", "-Wl,--no-as-needed", "-lm") for name in EMPTY]
    # OpenGL is imported and, without --use_gpu, never called
    names = {n for n in _imports(changed) if n.startswith(("gl", "egl")) and n[-1].isalnum()}
    stubs = "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in sorted(names))
    libraries.append(library("libGLESv2.so", stubs))
    return changed, libraries


def _imports(program: Path) -> set[str]:
    """Undefined dynamic symbols, by binutils' readelf."""
    listed = subprocess.run(["readelf", "-W", "--dyn-syms", str(program)], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {row[7].partition("@")[0] for row in rows if len(row) > 7 and row[6] == "UND"}
