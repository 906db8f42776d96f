"""A small drawn data set and a small real network for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from support.pictures import file_photo

from edgefit_toolkit.data.dataset import Dataset, Photo
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.records import Variant

CLASSES = ("lines", "rings", "spots")
SIZE_PX = 64


def variant(classes: int = len(CLASSES)) -> Variant:
    """Lite0's network at 64 px: 31 million multiply-adds."""
    return scaling.variant_from_factors(1.0, 1.0, SIZE_PX, "lite", classes)


def fresh_network(classes: int = len(CLASSES)) -> EfficientNet:
    """That network with the real Lite0 weights from the installed package."""
    return load_network(variant(classes), allow_download=False)[0]


def draw(label: int, random: np.random.Generator) -> Image.Image:
    """Lines, rings or spots of any colour, width, place and angle on a noisy ground of any other colour."""
    y, x = np.mgrid[0:80, 0:80] / 80 - random.uniform(0.3, 0.7, 2)[:, None, None]
    angle, period = random.uniform(0, np.pi), random.uniform(0.12, 0.25)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    waves = {0: np.sin(u / period * 2 * np.pi), 1: np.sin(np.hypot(u, v) / period * 2 * np.pi)}
    wave = waves.get(label, np.sin(u / period * 2 * np.pi) * np.sin(v / period * 2 * np.pi) * 2 - 0.4)
    ink = (wave > 0)[..., None]
    picture = np.where(ink, random.uniform(0, 255, 3), random.uniform(0, 255, 3)) + random.normal(0, 25, (80, 80, 3))
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def drawn_dataset(folder: Path, train: int = 12, val: int = 8, test: int = 20, seed: int = 0) -> Dataset:
    """That many pictures a class and split, as PNG files."""
    random = np.random.default_rng(seed)
    splits: dict[str, tuple[Photo, ...]] = {}
    for split, count in (("train", train), ("val", val), ("test", test)):
        photos = []
        for number in range(count):
            for label, name in enumerate(CLASSES):
                path = folder / f"{split}-{name}-{number:02d}.png"
                draw(label, random).save(path)
                photos.append(file_photo(path, label))
        splits[split] = tuple(photos)
    return Dataset("patterns", "drawn", CLASSES, splits["train"], splits["val"], splits["test"])
