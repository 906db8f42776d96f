"""Training pictures: the same plant under another crop, side and light. Seeded, whatever the order of calls."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image

from edgefit_toolkit.data.decoding import Pixels, upright_rgb
from edgefit_toolkit.records import Preprocessing

AREA = (0.45, 1.0)  # share of the picture that a crop keeps; its mean side is near the evaluation crop's 224/256
ASPECT = (3 / 4, 4 / 3)
BRIGHTNESS = 0.2  # each: largest relative change
CONTRAST = 0.2
SATURATION = 0.25
CHANNEL_GAIN = 0.05  # white balance; hue itself is kept, since colour tells plants apart


def augmentation_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one photograph in one epoch: the same for any number of workers and any batch."""
    return np.random.default_rng([seed, epoch, index])


def room_for_augmentation(preprocessing: Preprocessing, factor: float = 1.15) -> Preprocessing:
    """Preprocessing for pixels that are kept in memory and augmented: the whole centre square, a little larger."""
    resolution_px = math.ceil(preprocessing.resolution_px * factor)
    return dataclasses.replace(preprocessing, resolution_px=resolution_px, crop_padding_px=0)


def least_side_px(preprocessing: Preprocessing) -> int:
    """The shortest side of a photograph from which no view is enlarged."""
    return math.ceil(preprocessing.resolution_px / math.sqrt(AREA[0] * ASPECT[0]))


def augment(picture: Image.Image | Pixels, rng: np.random.Generator, preprocessing: Preprocessing) -> Pixels:
    """A random view of a photograph, or of its pixels uint8 [H, W, 3]: uint8 [R, R, 3].

    Random crop and aspect, flip, brightness, contrast, saturation, white balance. `rng` from `augmentation_rng`.
    """
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else upright_rgb(picture)
    box = _random_box(image.width, image.height, rng)
    resolution_px = preprocessing.resolution_px
    view = image.resize((resolution_px, resolution_px), Image.Resampling.BILINEAR, box=box)
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _relight(np.asarray(view), rng)


def _random_box(width: int, height: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    area = width * height * rng.uniform(*AREA)
    aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
    box_width = min(width, math.sqrt(area * aspect))
    box_height = min(height, math.sqrt(area / aspect))
    left = rng.uniform(0, width - box_width) if box_width < width else 0.0
    top = rng.uniform(0, height - box_height) if box_height < height else 0.0
    return left, top, min(float(width), left + box_width), min(float(height), top + box_height)


def _relight(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    brightness = 1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    contrast = 1 + rng.uniform(-CONTRAST, CONTRAST)
    saturation = 1 + rng.uniform(-SATURATION, SATURATION)
    gains = 1 + rng.uniform(-CHANNEL_GAIN, CHANNEL_GAIN, size=3)
    # All four are linear in RGB, so they are one 3 x 3 matrix and one offset: a single pass over the picture.
    luma = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    matrix = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * luma
    matrix = (gains * brightness * contrast)[:, None] * matrix
    mean = int(pixels.sum(dtype=np.uint32)) / pixels.size * brightness
    offset = (1 - contrast) * mean
    # in one array and by a matrix that lies row by row: half the time
    lit = pixels.reshape(-1, 3).astype(np.float32) @ np.ascontiguousarray(matrix.T, np.float32)
    lit += np.float32(offset)
    np.clip(np.rint(lit, out=lit), 0, 255, out=lit)
    return lit.astype(np.uint8).reshape(pixels.shape)
