"""From a picture's bytes to upright 8-bit RGB."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from edgefit_toolkit.data.dataset import Candidate
from edgefit_toolkit.data.decoding_cost import JPEGS, MOST_BYTES, REDUCTIONS, Gate, peak_bytes, reduction_of

Pixels = NDArray[np.uint8]

# Still photographs only: no PDF, EPS or video containers that Pillow would also open. (JPEG brings MPO.)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
MIN_SIDE_PX = 16  # below this there is no plant to see
SMALL_PX = 64  # what a check keeps of a side, where it can choose
STRIP_PX = 1 << 18  # converted at a time

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


_GATE = Gate()


class BrokenPicture(Exception):  # noqa: N818  (what it is)
    """One picture cannot be read; the text says why, in the words of someone who has the file before them.

    `lasting` where its bytes are the reason, which nothing but other bytes changes.
    """

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silences Pillow's remarks about odd metadata and large photographs while files are read.

    Filters are per process, so it is entered once around a pool of threads, never inside them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        yield


@contextmanager
def opened(picture: Candidate) -> Iterator[Image.Image]:
    """The picture with its header read and its pixels not yet.

    Raises BrokenPicture, whatever a decoder raises here or while the caller uses it.
    """
    head = b""
    try:
        with picture.open() as stream:
            head = stream.read(512)
            stream.seek(0)
            with Image.open(stream, formats=FORMATS) as image:
                yield image
    except BrokenPicture:
        raise
    except Exception as error:
        passing = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)
        raise BrokenPicture(_fault(head, error), lasting=not passing) from error


def decode(picture: Candidate, least_px: int | None = None) -> Image.Image:
    """The whole photograph, upright RGB; a very large one reduced. Raises BrokenPicture.

    With `least_px` a JPEG is decoded at the smallest scale that libjpeg has and whose sides are no shorter.
    """
    with opened(picture) as image:
        reduction = reduction_of(image)
        if reduction is None:
            raise BrokenPicture(_too_large(image))
        if least_px is not None and image.format in JPEGS:
            reduction = max(reduction, *(r for r in REDUCTIONS if r == 1 or min(image.size) // r >= least_px))
        with _GATE.passing(peak_bytes(image, reduction)):
            return upright_rgb(image, _load(image, reduction))


def decode_opened(image: Image.Image) -> Image.Image:
    """The same of a picture that Pillow has opened. Raises BrokenPicture."""
    try:
        return upright_rgb(image)
    except Exception as error:
        raise BrokenPicture(_fault(b"opened", error)) from error


def check(picture: Candidate) -> Image.Image:
    """Reads it to its last byte; a small upright RGB picture of it. Raises BrokenPicture where it cannot be used."""
    with opened(picture) as image:
        if min(image.size) < MIN_SIDE_PX:
            raise BrokenPicture(f"only {image.width} x {image.height} pixels")
        reduction = reduction_of(image)
        if reduction is None:
            raise BrokenPicture(_too_large(image))
        with _GATE.passing(peak_bytes(image, reduction)):
            if image.format in JPEGS:
                # at an eighth of its size it is still read to its last byte, several times faster
                image.draft("RGB", (max(image.width // 8, SMALL_PX), max(image.height // 8, SMALL_PX)))
                image.load()
                return upright_rgb(image)
            return upright_rgb(image, _load(image, reduction))


def _load(image: Image.Image, reduction: int) -> int:
    """Decodes; the reduction that is left to be done, where the decoder has not done it."""
    if image.format in JPEGS and reduction > 1:
        image.draft("RGB", (image.width // reduction, image.height // reduction))
        reduction = 1
    elif isinstance(image, Jpeg2KImageFile) and reduction > 1:
        image.reduce = reduction.bit_length() - 1  # how many of its levels to leave out
        reduction = 1
    image.load()
    return reduction


def _too_large(image: Image.Image) -> str:
    return (
        f"{image.width} x {image.height} pixels, which take more than {MOST_BYTES / 1e6:.0f} MB to read as "
        f"{image.format}: make it smaller or save it as a baseline JPEG"
    )


def _fault(head: bytes, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels (more than 178 million)"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "a HEIC photograph: convert it to JPEG"
    if isinstance(error, UnidentifiedImageError):
        text = head.isascii() and b"\0" not in head
        return "a text file, not an image" if text else "not an image, or damaged from its first bytes on"
    return f"damaged: {error}"


def upright_rgb(image: Image.Image, reduction: int = 1) -> Image.Image:
    """The first frame as upright 8-bit RGB: EXIF orientation applied, transparency put on white, 16 bits cut to 8.

    `reduction` times smaller each way, by plain averages.
    """
    orientation = _orientation(image)
    rgb = _to_rgb(image, reduction)
    turn = _UPRIGHT.get(orientation)
    if turn is None:
        return rgb
    upright = rgb.transpose(turn)
    upright.info = {}  # Pillow copies the EXIF data along: it would be turned again
    return upright


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  (its parser raises what it likes)
        return 1  # unreadable metadata on a readable photograph: shown as it lies


def _to_rgb(image: Image.Image, reduction: int) -> Image.Image:
    if reduction == 1 and image.mode == "RGB" and "transparency" not in image.info:
        return image
    deep = image.mode.startswith("I") or image.mode == "F"
    top = max(float(_finite(strip).max(initial=0.0)) for _, strip in _strips(image, reduction)) if deep else 0.0
    width, height = -(-image.width // reduction), -(-image.height // reduction)
    rgb = Image.new("RGB", (width, height))
    for at, strip in _strips(image, reduction):
        part = Image.fromarray(_grey_to_8_bit(np.asarray(strip), top)).convert("RGB") if deep else _flat(strip)
        rgb.paste(part if reduction == 1 else part.reduce(reduction), (0, at // reduction))
    return rgb


def _strips(image: Image.Image, reduction: int) -> Iterator[tuple[int, Image.Image]]:
    """The picture in bands of whole reduced rows, each with the row it begins at: no conversion holds it twice."""
    rows = max(1, STRIP_PX // (image.width * reduction)) * reduction
    for at in range(0, image.height, rows):
        yield at, image.crop((0, at, image.width, min(at + rows, image.height)))


def _flat(image: Image.Image) -> Image.Image:
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, rgba).convert("RGB")
    return image.convert("RGB")


def _finite(image: Image.Image) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image).astype(np.float64))


def _grey_to_8_bit(grey: NDArray[np.generic], top: float) -> Pixels:
    """Deep grey scales to 0..255, `top` the picture's largest value. Floats up to 1 count as shares of white; 16-bit
    integers, of either byte order, and others above 255 as 16 bits."""
    values = np.nan_to_num(grey.astype(np.float64))
    if np.issubdtype(grey.dtype, np.floating) and top <= 1.0:
        values = values * 255
    elif grey.dtype.newbyteorder("=") == np.uint16 or top > 255:
        values = values / 257 if top <= 65535 else values * (255 / top)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
