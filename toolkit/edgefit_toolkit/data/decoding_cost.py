"""What decoding a picture costs in memory: how far it is reduced on reading, and how many are read at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MOST_BYTES = 200_000_000  # for one picture; what cannot be read in so many is refused
AT_ONCE_BYTES = 600_000_000  # for all that are being read

JPEGS = ("JPEG", "MPO")
REDUCTIONS = (1, 2, 4, 8)  # what libjpeg offers, and powers of two average alike for the others

# Bytes a pixel beside the picture itself, measured with Pillow 12.3 at 20 million pixels: during the decoding, after it
_BESIDE = {"WEBP": (12, 8), "AVIF": (6, 0), "TIFF": (4, 0), "JPEG2000": (16, 0)}
_BYTES_PER_PX = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "LA": 4}  # Pillow's; any other mode 4
_WORKING_BYTES = 15e6  # strips under conversion, file buffers, the last crop
_RGB_TWICE = 8  # bytes a pixel of the result: as it lies, and turned upright or cropped


def peak_bytes(image: Image.Image, reduction: int) -> float:
    """The most that decoding and cropping an opened picture takes at a time, reduced `reduction` times a side."""
    px = image.width * image.height
    small = px / reduction**2
    own = _BYTES_PER_PX.get(image.mode, 4)
    if image.format in JPEGS:
        return _WORKING_BYTES + max(_coefficient_bytes(image) * px + own * small, _RGB_TWICE * small)
    during, after = _BESIDE.get(image.format or "", (0, 0))
    if image.format == "JPEG2000":
        return _WORKING_BYTES + max((own + during) * small, _RGB_TWICE * small)
    return _WORKING_BYTES + max((own + during) * px, (own + after) * px + _RGB_TWICE * small)


def reduction_of(image: Image.Image) -> int | None:
    """The least reduction whose decoding stays below MOST_BYTES; None where there is none."""
    return next((reduction for reduction in REDUCTIONS if peak_bytes(image, reduction) <= MOST_BYTES), None)


def _coefficient_bytes(image: Image.Image) -> float:
    """Bytes a pixel of a progressive JPEG's coefficients, which are kept whole until the last scan has come."""
    if not image.info.get("progressive"):
        return 0.0
    sampling = [(horizontal, vertical) for _, horizontal, vertical, _ in getattr(image, "layer", [])]
    full = max((h for h, _ in sampling), default=1) * max((v for _, v in sampling), default=1)
    return float(2 * sum(h * v for h, v in sampling) / full)


class Gate:
    """Lets pictures through as long as all inside cost no more than a limit; one alone always passes."""

    def __init__(self, limit_bytes: float = AT_ONCE_BYTES) -> None:
        self._limit, self._inside = limit_bytes, 0.0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self, cost_bytes: float) -> Iterator[None]:
        """Waits for room, and gives it back."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside == 0 or self._inside + cost_bytes <= self._limit)
            self._inside += cost_bytes
        try:
            yield
        finally:
            with self._changed:
                self._inside -= cost_bytes
                self._changed.notify_all()
