"""16 KB pages: real libraries of a wheel, copies of one with another alignment, packages that hold them."""

from __future__ import annotations

import json
import struct
import subprocess
import zipfile
from importlib import resources
from pathlib import Path
from shutil import which

import pytest
from click.testing import CliRunner

from edgefit_toolkit.app.native_pages import PAGE_BYTES, Library, libraries
from edgefit_toolkit.cli.inspect import command
from edgefit_toolkit.errors import InputError

pytest.importorskip("elftools", reason="pyelftools reads ELF files and is not installed")


@pytest.fixture(scope="module")
def real() -> Path:
    """The smallest native library of LiteRT's wheel."""
    found = [file for file in Path(str(resources.files("ai_edge_litert"))).rglob("*.so") if not file.is_symlink()]
    if not found or found[0].read_bytes()[:4] != b"\x7fELF":
        pytest.skip("this platform's libraries are no ELF files")
    return min(found, key=lambda file: file.stat().st_size)


def aligned(library: Path, align: int) -> bytes:
    """A 64-bit library with this alignment written into each of its loaded segments."""
    data = bytearray(library.read_bytes())
    table, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    for at in range(table, table + size * count, size):
        if struct.unpack_from("<I", data, at)[0] == 1:  # PT_LOAD
            struct.pack_into("<Q", data, at + 48, align)
    return bytes(data)


def test_a_real_library_is_read_as_binutils_reads_it(real: Path) -> None:
    readelf = which("readelf")
    if readelf is None:
        pytest.skip("no readelf to compare with (Debian's package: binutils)")
    said = subprocess.run([readelf, "-lW", real], capture_output=True, text=True, check=True).stdout
    least = min(int(line.split()[-1], 16) for line in said.splitlines() if line.split()[:1] == ["LOAD"])
    [library] = libraries(real)
    assert (library.align_bytes, library.bits, library.fits) == (least, 64, least % PAGE_BYTES == 0)


@pytest.mark.parametrize(("align", "fits"), [(0x1000, False), (0x4000, True), (0x10000, True)])
def test_every_loaded_segment_counts(real: Path, tmp_path: Path, align: int, fits: bool) -> None:
    (tmp_path / "libx.so").write_bytes(aligned(real, align))
    [library] = libraries(tmp_path / "libx.so")
    assert (library.align_bytes, library.fits) == (align, fits)


def test_a_package_names_what_does_not_fit(real: Path, tmp_path: Path) -> None:
    good, package = aligned(real, PAGE_BYTES), tmp_path / "app.apk"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("classes.dex", b"x" * 100)
        archive.writestr("lib/arm64-v8a/libold.so", aligned(real, 0x1000), zipfile.ZIP_DEFLATED)
        archive.writestr("lib/arm64-v8a/libgood.so", good, zipfile.ZIP_DEFLATED)
        name = "lib/arm64-v8a/libstored.so"  # its bytes start behind a header of 30 bytes and this name
        archive.fp.write(b"\0" * (-(archive.fp.tell() + 30 + len(name)) % PAGE_BYTES))  # type: ignore[union-attr]
        archive.start_dir = archive.fp.tell()  # type: ignore[attr-defined,union-attr]
        archive.writestr(name, good)
        archive.writestr("lib/arm64-v8a/libaskew.so", good)
    found = {Path(library.name).stem: library for library in libraries(package)}
    assert {name: library.fits for name, library in found.items()} == {
        "libold": False, "libgood": True, "libstored": True, "libaskew": False,
    }  # fmt: skip
    assert package.read_bytes()[found["libaskew"].start_bytes :][:4] == b"\x7fELF"
    assert not Library("a", "ARM", 64, PAGE_BYTES, 4096).fits
    assert Library("a", "ARM", 32, 4096).fits
    said = CliRunner().invoke(command, [str(package)])
    assert said.exit_code == 1
    assert "DOES NOT FIT  lib/arm64-v8a/libold.so" in said.output
    assert "4 native libraries, 2 of them not for pages of 16 KB" in said.output
    doc = json.loads(CliRunner().invoke(command, [str(package), "--json"]).output)
    assert [row["fits"] for row in doc["libraries"]] == [False, True, False, True]


def test_what_is_no_library_is_said(tmp_path: Path) -> None:
    for name, data in (("a.so", b"text"), ("a.apk", b"text")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=r"is no ELF library|cannot be read"):
            libraries(tmp_path / name)
    with pytest.raises(InputError, match="No such file"):
        libraries(tmp_path / "none.so")
