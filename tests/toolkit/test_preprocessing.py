"""From a photograph to bytes: the crop, the resize, every kind of picture file, and augmentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.pictures import open_file

from edgefit_toolkit.data.augmentation import augment, augmentation_rng, room_for_augmentation
from edgefit_toolkit.data.decoding import BrokenPicture, quiet_pillow
from edgefit_toolkit.data.preprocessing import (
    apply,
    crop_box,
    to_network_input,
)
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.report.walkthrough import worked_pixel

P32 = Preprocessing(32)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(size: int = 64) -> Image.Image:
    """Red, green / blue, white: every turn of it looks different."""
    image = Image.new("RGB", (size, size), RED)
    half = size // 2
    image.paste(GREEN, (half, 0, size, half))
    image.paste(BLUE, (0, half, half, size))
    image.paste(WHITE, (half, half, size, size))
    return image


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    n = pixels.shape[0]
    return [tuple(int(v) for v in pixels[y, x]) for y, x in ((3, 3), (3, n - 4), (n - 4, 3), (n - 4, n - 4))]


@pytest.mark.parametrize(
    ("size", "resolution_px", "box"),
    [
        ((256, 256), 224, (16, 16, 224)),  # the published crop: 224 of 256
        ((500, 375), 224, (86, 24, 328)),
        ((375, 500), 224, (24, 86, 328)),
        ((640, 427), 260, (130, 24, 380)),
        ((16, 16), 224, (1, 1, 14)),
        ((1, 1), 224, (1, 1, 1)),
    ],
)
def test_crop_box(size: tuple[int, int], resolution_px: int, box: tuple[int, int, int]) -> None:
    if size == (1, 1):  # one pixel is always kept, and is the whole picture
        box = (0, 0, 1)
    assert crop_box(*size, Preprocessing(resolution_px)) == box


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), resolution_px=st.integers(32, 600))
def test_crop_lies_inside_and_in_the_middle(width: int, height: int, resolution_px: int) -> None:
    left, top, side = crop_box(width, height, Preprocessing(resolution_px))
    assert left >= 0
    assert left + side <= width
    assert top >= 0
    assert top + side <= height
    assert abs(2 * left + side - width) <= 1
    assert abs(2 * top + side - height) <= 1
    assert abs(side - min(width, height) * resolution_px / (resolution_px + 32)) < 1 or side == 1


def test_colours_outside_the_crop_do_not_enter() -> None:
    left, top, side = crop_box(200, 100, P32)
    image = Image.new("RGB", (200, 100), RED)
    image.paste(BLUE, (left, top, left + side, top + side))
    assert (apply(image, P32) == BLUE).all()


def test_nothing_to_resize_gives_the_photograph_itself() -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = apply(Image.fromarray(raw), P32)  # 64 * 32 / 64 = 32: the crop has the network's size
    np.testing.assert_array_equal(pixels, raw[16:48, 16:48])


def test_resize_is_antialiased() -> None:
    checks = np.indices((512, 512)).sum(axis=0) % 2 * 255
    pixels = apply(Image.fromarray(checks.astype(np.uint8)), P32)
    assert abs(pixels.astype(int) - 127.5).max() < 3  # averaged to grey, no stray black or white


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    # How a camera in this orientation stores the scene: the inverse of what EXIF 2.32 asks viewers to do.
    turns = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    turn = turns[orientation]
    stored = quarters() if turn is None else quarters().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    stored.save(path, exif=exif)
    assert corners(apply(open_file(path), P32)) == [RED, GREEN, BLUE, WHITE]


def test_broken_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "exif.jpg"
    quarters().save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with quiet_pillow():
        assert open_file(path).size == (64, 64)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV"])
def test_colour_modes_end_as_rgb(mode: str) -> None:
    pixels = apply(quarters().convert(mode), P32)
    found = np.array(corners(pixels), int)
    assert abs(found - np.array([RED, GREEN, BLUE, WHITE])).max() <= 3


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert (apply(clear, P32) == 255).all()
    grey = Image.new("LA", (64, 64), (0, 128))
    assert (apply(grey, P32) == 127).all()
    palette = quarters().quantize(4)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((0, 0)))
    assert corners(apply(open_file(tmp_path / "p.png"), P32)) == [WHITE, GREEN, BLUE, WHITE]
    quarters().save(tmp_path / "rgb.png", transparency=RED)
    assert corners(apply(open_file(tmp_path / "rgb.png"), P32)) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    ("grey", "expected"),
    [
        (np.uint16(65535), 255),
        (np.uint16(32896), 128),
        (np.int32(200), 200),
        (np.int32(65535), 255),
        (np.float32(0.5), 128),
        (np.float32(90.0), 90),
    ],
)
def test_deep_grey_becomes_8_bits(grey: np.generic, expected: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.full((64, 64), grey)).save(path)
    assert (apply(open_file(path), P32) == expected).all()


def test_16_bit_png(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((64, 64), 32896, np.uint16)).save(path)
    assert (apply(open_file(path), P32) == 128).all()


def test_1_bit_and_animated(tmp_path: Path) -> None:
    assert set(np.unique(apply(Image.new("1", (64, 64), 1), P32))) == {255}
    frames = [Image.new("RGB", (64, 64), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert (apply(open_file(tmp_path / "two.gif"), P32) == RED).all()


@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_file_formats(format: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"  # the content counts, not the name
    more = {"save_all": True, "append_images": [quarters()]} if format == "MPO" else {}
    quarters().save(path, format, **more)
    found = np.array(corners(apply(open_file(path), P32)), int)
    assert abs(found - np.array([RED, GREEN, BLUE, WHITE])).max() <= 6


def test_a_video_or_document_is_no_photograph(tmp_path: Path) -> None:
    quarters().save(tmp_path / "page.pdf")
    with pytest.raises(BrokenPicture, match="not an image"):
        open_file(tmp_path / "page.pdf")


def test_network_input() -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    x = to_network_input(pixels)
    assert x.shape == (2, 3, 4, 4)
    assert x.dtype.is_floating_point
    np.testing.assert_array_equal(x.numpy().transpose(0, 2, 3, 1), (pixels.astype(np.float32) - 127) / 128)
    assert x.is_contiguous()


def test_no_torch_unless_asked_for() -> None:
    code = "import edgefit_toolkit.data.sources, edgefit_toolkit.data.pixels, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(
    width=st.integers(20, 90),
    height=st.integers(20, 90),
    x=st.integers(0, 31),
    y=st.integers(0, 31),
    seed=st.integers(0, 9),
)
def test_worked_pixel_is_the_pipeline_s_own(width: int, height: int, x: int, y: int, seed: int) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    pixels = apply(image, P32)
    worked = worked_pixel(pixels[y, x].tolist(), x, y, P32)
    assert worked["raw"] == list(pixels[y, x])
    np.testing.assert_allclose(worked["value"], to_network_input(pixels[None])[0, :, y, x].numpy())


def test_worked_pixel_of_a_flat_photograph() -> None:
    pixels = apply(Image.new("RGB", (640, 480), (255, 127, 0)), Preprocessing(224))
    assert (pixels == (255, 127, 0)).all()
    assert worked_pixel(pixels[112, 112].tolist(), 112, 112, Preprocessing(224))["value"] == [1.0, 0.0, -0.9921875]


@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 50), index=st.integers(0, 5000))
def test_augmentation_repeats_whatever_came_before(seed: int, epoch: int, index: int) -> None:
    pixels = np.asarray(quarters(48))
    first = augment(pixels, augmentation_rng(seed, epoch, index), P32)
    augment(pixels, augmentation_rng(seed, epoch, index + 1), P32)
    np.testing.assert_array_equal(first, augment(pixels, augmentation_rng(seed, epoch, index), P32))
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8


def test_augmentation_differs_between_epochs_photographs_and_seeds() -> None:
    pixels = np.asarray(quarters(48))
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    views = [augment(pixels, augmentation_rng(*key), P32).tobytes() for key in keys]
    assert len(set(views)) == 4


def test_augmentation_is_mild() -> None:
    grey = np.full((48, 48, 3), 120, np.uint8)
    means = [augment(grey, augmentation_rng(0, 0, i), P32).mean() for i in range(200)]
    assert 80 < min(means) < max(means) < 165  # a change of light, not night
    assert abs(float(np.mean(means)) - 120) < 6
    flips = [corners(augment(np.asarray(quarters(96)), augmentation_rng(0, 0, i), P32)) for i in range(60)]
    red_left = sum(c[0][0] > 150 and c[0][1] < 100 for c in flips)
    assert 15 < red_left < 45  # mirrored about half of the time, never upside down
    assert not any(c[0][2] > 150 and c[0][0] < 100 for c in flips)


def test_augmentation_takes_photographs_as_well() -> None:
    photograph = quarters(200).crop((0, 0, 200, 120))
    assert augment(photograph, augmentation_rng(0, 0, 0), P32).shape == (32, 32, 3)


def test_room_for_augmentation_keeps_the_whole_square() -> None:
    room = room_for_augmentation(Preprocessing(224))
    assert room.resolution_px == 258
    assert crop_box(500, 375, room) == (63, 0, 375)
