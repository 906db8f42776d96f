"""Golden pictures: what a run's app must be handed and must say of them, in whatever language it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgefit_toolkit.api.model import Model
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.interpreter import Floats, Pixels

STEP = 1 / 256  # of the int8 output


@dataclass(frozen=True)
class Golden:
    """One picture's input to the model, its scores, its answer."""

    input_sha256: str
    scores: tuple[float, ...]
    rank: str  # "" where nothing is sure
    name: str
    other: bool


def draw(folder: Path, n: int = 12) -> list[Path]:
    """Pictures without a loss, as fine and as wide as photographs: coloured stripes and blobs, no two sides alike."""
    chance, files = np.random.default_rng(21), []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        width, height = (int(side) for side in chance.integers(60, 220, 2))
        y, x = np.mgrid[0:height, 0:width]
        picture = np.empty((height, width, 3))
        for channel in range(3):
            angle, period = chance.uniform(0, np.pi), chance.uniform(3, 30)
            wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
            fade = x / width if channel % 2 else y / height  # what a crop leaves out is unlike the middle
            picture[..., channel] = chance.uniform(40, 200) + 60 * wave + 100 * (fade - 0.5)
        files.append(folder / f"{i:02d}.png")
        Image.fromarray(picture.round().clip(0, 255).astype(np.uint8)).save(files[-1])
    return files


def of(model: Model, pixels: Pixels, scores: Floats) -> Golden:
    """What `model` says of these input bytes and scores."""
    how = model.answering
    at = int(how.answers(scores[None])[0])
    node = how.tree.nodes[at] if at >= 0 else None
    rank, name = (how.tree.ranks[node.rank], node.name) if node else ("", "")
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Golden(digest, tuple(map(float, scores)), rank, name, bool(how.is_other(scores[None])[0]))


def record(model: Model, files: Sequence[Path]) -> list[Golden]:
    """The golden answers, by Python."""
    found = []
    for file in files:
        with Image.open(file) as picture:
            pixels = preprocessing.apply(picture.convert("RGB"), model._preprocessing)
        found.append(of(model, pixels, model.probabilities(file)))
    return found


def differences(golden: Sequence[Golden], said: Sequence[Golden], *, steps: int = 0) -> list[str]:
    """What an app does otherwise; its scores may be off by so many steps of the output."""
    found = []
    for i, (ours, theirs) in enumerate(zip(golden, said, strict=True)):
        if ours.input_sha256 != theirs.input_sha256:
            found.append(f"picture {i}: another input")
        if float(np.abs(np.subtract(ours.scores, theirs.scores)).max()) > steps * STEP + 1e-6:
            found.append(f"picture {i}: other scores")
        if (ours.rank, ours.name, ours.other) != (theirs.rank, theirs.name, theirs.other):
            found.append(f"picture {i}: another answer")
    return found
