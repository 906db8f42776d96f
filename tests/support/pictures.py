"""Picture files for tests: as photographs of a data set, as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgefit_toolkit.data.dataset import Photo
from edgefit_toolkit.data.decoding import Pixels, decode
from edgefit_toolkit.data.preprocessing import apply
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.records import Preprocessing


def picture(path: Path, number: int, size: tuple[int, int] = (48, 40)) -> Path:
    """A small picture; every number has its own bytes."""
    rng = np.random.default_rng(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def file_photo(path: Path, label: int) -> Photo:
    """A picture file as a data set holds it."""
    found = file_picture(path)
    return Photo(name=found.name, place=found.place, opener=found.opener, label=label, sha256=sha256_of(path))


def open_file(path: Path) -> Image.Image:
    """The picture of a file, upright RGB."""
    return decode(file_picture(path))


def file_pixels(paths: Sequence[Path], preprocessing: Preprocessing) -> Pixels:
    """uint8 [N, R, R, 3] of picture files."""
    return np.stack([apply(open_file(path), preprocessing) for path in paths])
