"""From a photograph to the network's door, exactly as `records.Preprocessing` documents it."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgefit_toolkit.records import Preprocessing, Variant

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]

# What Pillow raises on a broken file, gathered from its plugins: each is about the file, none about this program.
BROKEN_IMAGE = (
    OSError,  # UnidentifiedImageError and truncated files too
    SyntaxError,  # PNG and TIFF headers
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
# Still photographs only: no PDF, EPS or video containers that Pillow would also open. (JPEG brings MPO.)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")

_EXIF_ORIENTATION = 0x0112  # EXIF 2.32, tag 274
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def preprocessing_for(variant: Variant) -> Preprocessing:
    """The preprocessing that a variant is trained and evaluated with (both families: see records)."""
    return Preprocessing(resolution_px=variant.resolution_px)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silences Pillow's remarks about odd metadata and large photographs while files are read.

    Filters are per process, so it is entered once around a pool of threads, never inside them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        yield


def upright_rgb(image: Image.Image) -> Image.Image:
    """The first frame as upright 8-bit RGB: EXIF orientation applied, transparency put on white, 16 bits cut to 8."""
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    turn = _UPRIGHT.get(orientation)
    if turn is None:
        return rgb
    upright = rgb.transpose(turn)
    upright.info = {}  # Pillow copies the EXIF data along: it would be turned again
    return upright


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except BROKEN_IMAGE:
        return 1  # unreadable metadata on a readable photograph: shown as it lies


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_grey_to_8_bit(np.asarray(image))).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, rgba).convert("RGB")
    return image.convert("RGB")


def _grey_to_8_bit(grey: NDArray[np.generic]) -> Pixels:
    """Deep grey scales to 0..255. Floats up to 1 count as shares of white; integers above 255 as 16 bits."""
    values = np.nan_to_num(grey.astype(np.float64))
    top = values.max(initial=0.0)
    if np.issubdtype(grey.dtype, np.floating) and top <= 1.0:
        values = values * 255
    elif grey.dtype == np.uint16 or top > 255:
        values = values / 257 if top <= 65535 else values * (255 / top)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def open_upright(path: Path) -> Image.Image:
    """Reads a whole photograph from disk as upright RGB.

    Raises one of BROKEN_IMAGE when the file is missing, truncated or not a photograph.
    """
    with Image.open(path, formats=FORMATS) as image:
        image.load()
        return upright_rgb(image)


def crop_box(width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int, int]:
    """The centre crop as (left, top, side) in pixels of the upright photograph.

    Integer steps as in EfficientNet's own `_decode_and_center_crop`: the side rounds down, an odd rest goes left and
    up.
    """
    resolution_px = preprocessing.resolution_px
    side = max(1, min(width, height) * resolution_px // (resolution_px + preprocessing.crop_padding_px))
    return (width - side + 1) // 2, (height - side + 1) // 2, side


def apply(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Pixels uint8 [R, R, 3] of one photograph: the raw bytes that enter the .tflite."""
    rgb = upright_rgb(image)
    left, top, side = crop_box(rgb.width, rgb.height, preprocessing)
    # Crop first: resize(box=...) would let colours from outside the crop bleed in at its edges.
    crop = rgb.crop((left, top, left + side, top + side))
    resolution_px = preprocessing.resolution_px
    small = crop.resize((resolution_px, resolution_px), _FILTERS[preprocessing.interpolation])
    return np.array(small, dtype=np.uint8)


def to_network_input(pixels: Pixels, preprocessing: Preprocessing | None = None) -> torch.Tensor:
    """uint8 [N, R, R, 3] to the float network's input: float32 [N, 3, R, R], (raw - 127) / 128. Imports torch."""
    import torch

    mean, std = (preprocessing.mean, preprocessing.std) if preprocessing else (127.0, 128.0)
    nchw = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    return nchw.to(torch.float32).sub_(mean).div_(std).contiguous()


@dataclass(frozen=True)
class WorkedPixel:
    """One pixel followed from the photograph to the network, for the report's pipeline trace."""

    photo_px: tuple[int, int]  # width, height of the upright photograph
    crop_px: tuple[int, int, int]  # left, top, side
    resolution_px: int
    at: tuple[int, int]  # x, y in the network's input
    source_at: tuple[int, int]  # x, y of the photograph's pixel under its centre
    source_rgb: tuple[int, int, int]  # that pixel in the photograph
    averaged_px: float  # side of the square of photograph pixels that one input pixel stands for
    raw_rgb: tuple[int, int, int]  # after crop and resize: the byte that enters the .tflite
    network_rgb: tuple[float, float, float]  # (raw - mean) / std


def worked_pixel(image: Image.Image, preprocessing: Preprocessing, at: tuple[int, int] | None = None) -> WorkedPixel:
    """Follows the input pixel at (x, y), by default the centre one, through every step."""
    rgb = upright_rgb(image)
    pixels = apply(rgb, preprocessing)
    resolution_px = preprocessing.resolution_px
    x, y = at if at is not None else (resolution_px // 2, resolution_px // 2)
    left, top, side = crop_box(rgb.width, rgb.height, preprocessing)
    step = side / resolution_px
    source_at = (left + int((x + 0.5) * step), top + int((y + 0.5) * step))
    source = np.asarray(rgb.crop((*source_at, source_at[0] + 1, source_at[1] + 1)))[0, 0]
    raw = pixels[y, x]
    network = [(float(value) - preprocessing.mean) / preprocessing.std for value in raw]
    return WorkedPixel(
        photo_px=(rgb.width, rgb.height),
        crop_px=(left, top, side),
        resolution_px=resolution_px,
        at=(x, y),
        source_at=source_at,
        source_rgb=(int(source[0]), int(source[1]), int(source[2])),
        averaged_px=step,
        raw_rgb=(int(raw[0]), int(raw[1]), int(raw[2])),
        network_rgb=(network[0], network[1], network[2]),
    )
