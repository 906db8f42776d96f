"""Numbered pictures of a kind: each drawn from its own seed, so any of them can be drawn alone and again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import PIL

from edgefit_toolkit.data.demo import scene

SEED = 20260


def relative_path(kind: str, index: int) -> str:
    """Where a picture lies below the album's folder."""
    return f"{kind}/{kind}-{index:03d}.jpg"


def draw(kind: str, index: int) -> bytes:
    """The JPEG of picture `index` of a kind."""
    return scene.draw_photo(kind, np.random.default_rng([SEED, scene.KINDS.index(kind), index]))


def write_photo(folder: Path, kind: str, index: int) -> str:
    """Draws one picture into the album, under a hidden name until it is whole; returns its relative path."""
    path = folder / relative_path(kind, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(draw(kind, index))
    os.replace(part, path)
    return relative_path(kind, index)


def version() -> str:
    """Changes with anything that changes the pictures: this package's code, the seed, Pillow, numpy."""
    digest = hashlib.sha256(f"{PIL.__version__} {np.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
