"""Odd files among the photographs: each is judged by itself, named in a way that can be shown, and left out."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from support.pictures import picture

from edgefit_toolkit.data.dataset import Candidate
from edgefit_toolkit.data.decoding import BrokenPicture, check, decode, quiet_pillow
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.records import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    for k, label in enumerate(("ivy", "moss")):
        for i in range(8):
            picture(tmp_path / "plants" / label / f"{i:03d}.jpg", 100 * k + i)
    return tmp_path / "plants"


def reasons(folder: Path) -> dict[str, str]:
    dataset = load_dataset(str(folder), seed=0)
    load_pixels((*dataset.train, *dataset.val, *dataset.test), Preprocessing(32))
    json.dumps([s.name for s in dataset.skipped], ensure_ascii=False).encode()
    return {skipped.name: skipped.reason for skipped in dataset.skipped}


@pytest.mark.fault("a damaged AVIF")
@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("at", [0.05, 0.2, 0.5, 0.9])
def test_damaged_avif(plants: Path, at: float) -> None:
    raw = bytearray(picture(plants / "ivy" / "x.avif", 7, size=(320, 240)).read_bytes())
    place = int(len(raw) * at)
    raw[place : place + 40] = bytes(40)
    (plants / "ivy" / "x.avif").write_bytes(raw)
    assert set(reasons(plants)) <= {"x.avif"}  # damaged, or a picture with a spot


@pytest.mark.fault("a 16-bit TIFF in either order of bytes")
def test_order_of_bytes_of_a_16_bit_tiff() -> None:
    ramp = np.add.outer(np.arange(40), np.arange(48)).astype(np.uint16) * 700
    shown = []
    for mode, order, mark in (("I;16", "<u2", b"II"), ("I;16B", ">u2", b"MM")):
        file = io.BytesIO()
        Image.frombytes(mode, (48, 40), ramp.astype(order).tobytes()).save(file, "TIFF")
        raw = file.getvalue()
        assert raw[:2] == mark
        ramp_tif = Candidate(name="r.tif", place="memory", opener=lambda raw=raw: io.BytesIO(raw))
        shown.append(np.asarray(decode(ramp_tif)))
    assert np.array_equal(*shown)
    assert np.abs(shown[0][..., 0] - ramp / 257).max() <= 1


@pytest.mark.fault("a picture of any format with bytes changed or cut off")
@pytest.mark.parametrize("format", FORMATS)
def test_mutated_pictures(format: str) -> None:
    rng, chance = np.random.default_rng(5), random.Random(5)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(out, format)
    for _ in range(60):
        raw = bytearray(out.getvalue())
        for _ in range(chance.choice((1, 2, 8))):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        raw = raw[: chance.choice((len(raw), chance.randrange(len(raw))))]
        mutant = Candidate(name="mutant", place="memory", opener=lambda raw=raw: io.BytesIO(bytes(raw)))
        with quiet_pillow():
            try:
                check(mutant)
                assert decode(mutant).mode == "RGB"
            except BrokenPicture:
                continue


@pytest.mark.fault("a FIFO among the photographs")
@pytest.mark.timeout(60)
def test_fifo(plants: Path) -> None:
    os.mkfifo(plants / "ivy" / "pipe.jpg")
    os.mkfifo(plants / "pipe")
    assert reasons(plants) == {"pipe.jpg": "cannot be read: not a regular file"}


@pytest.mark.fault("a device among the photographs")
@pytest.mark.timeout(60)
def test_endless_device(plants: Path) -> None:
    (plants / "ivy" / "zero.jpg").symlink_to("/dev/zero")
    assert reasons(plants) == {"zero.jpg": "cannot be read: not a regular file"}


@pytest.mark.fault("a file name that is not UTF-8")
def test_file_name_that_is_no_text(plants: Path) -> None:
    good, bad = os.fsencode(plants / "ivy") + b"/caf\xe9.jpg", os.fsencode(plants / "ivy") + b"/th\xe9.jpg"
    os.rename(plants / "ivy" / "000.jpg", good)
    Path(os.fsdecode(bad)).write_text("tea")
    assert reasons(plants) == {"th\\xe9.jpg": "a text file, not an image"}
    dataset = load_dataset(str(plants), seed=0)
    assert "caf\\xe9.jpg" in {photo.name for photo in (*dataset.train, *dataset.val, *dataset.test)}


@pytest.mark.fault("a class folder that is not UTF-8")
def test_class_name_that_is_no_text(plants: Path) -> None:
    os.rename(plants / "ivy", os.fsencode(plants) + b"/caf\xe9")
    edgefit = Path(sys.executable).with_name("edgefit")
    command = [edgefit, "--budget-ms", "9", "--device", "pixel4", "--data", plants, "--out", plants.parent / "run"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    said = done.stderr.decode()  # it is UTF-8
    assert done.returncode == 2, said
    assert "caf\\xe9" in said
    assert "Traceback" not in said


@pytest.mark.fault("an ATTRIBUTION.csv that is not UTF-8")
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_attribution_in_another_encoding(plants: Path, encoding: str) -> None:
    rows = "".join(f"ivy/{i:03d}.jpg,José Peña,CC BY 2.0\n" for i in range(8))
    (plants / "ATTRIBUTION.csv").write_text(f"file,photographer,license\n{rows}", encoding=encoding)
    dataset = load_dataset(str(plants), seed=0)
    credits = {photo.credit.author for photo in dataset.train if photo.credit}
    assert credits == (set() if encoding == "utf-16" else {"José Peña"})
    assert any("is not UTF-8" in note for note in dataset.notes) == (encoding != "utf-8-sig")


@pytest.mark.fault("an ATTRIBUTION.csv that is no table")
@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"file\n" + b"x" * 300_000, b'"', b"file,photographer\nonly"])
def test_attribution_that_is_no_table(plants: Path, content: bytes) -> None:
    (plants / "ATTRIBUTION.csv").write_bytes(content)
    assert all(photo.credit is None for photo in load_dataset(str(plants), seed=0).train)


@pytest.mark.fault("a class name that no line of text can hold")
@pytest.mark.parametrize("name", ["ro\nse", "ro\u2028se", "rose ", " rose", "ro\x1bse", "ro\x85se", "ro\u202ese", "\t"])
def test_class_names_are_judged_before_training(plants: Path, name: str) -> None:
    (plants / "ivy").rename(plants / name)
    with pytest.raises(DataError) as refused:
        load_dataset(str(plants), seed=0)
    assert "class" in refused.value.message
    assert refused.value.message.isprintable()
    assert "rename" in refused.value.hint
