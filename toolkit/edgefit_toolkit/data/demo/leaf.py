"""What all leaves share: an outline with two sides, two colours in patches, veins, light over the bulges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgefit_toolkit.data.demo.canvas import (
    SPRITE_PX,
    Colour,
    Points,
    Rng,
    blur,
    choose,
    fill,
    mix,
    noise,
    relief,
    sprite,
    strokes,
    vary,
)

SUMMER: tuple[Colour, ...] = ((62, 120, 38), (84, 142, 50), (44, 98, 46), (110, 150, 52))
AUTUMN: tuple[Colour, ...] = ((196, 70, 26), (222, 148, 34), (168, 38, 28), (150, 92, 40), (206, 110, 30))
Line = tuple[Points, float]


@dataclass(frozen=True)
class Leaf:
    """Lines and colours of one flat leaf."""

    shapes: Sequence[Points]
    veins: Sequence[Line]
    colours: tuple[Colour, Colour]  # in patches
    vein_colour: Colour
    stems: Sequence[Line] = ()
    stem_colour: Colour = (120, 110, 60)
    holes: Sequence[Points] = ()
    gloss: float = 0.0


def paint(rng: Rng, leaf: Leaf) -> Image.Image:
    """The leaf with lighter veins, side light over its bulges, a darker rim."""
    mask = fill(leaf.shapes, leaf.holes)
    vein = strokes(leaf.veins)
    patches = np.clip((noise(rng, SPRITE_PX, SPRITE_PX, 3, octaves=3) - 0.5) * rng.uniform(1.5, 4) + 0.5, 0, 1)
    colour = mix(*leaf.colours, patches)
    bulge = 0.6 * blur(1 - vein, 5) + 0.4 * blur(mask, 9)
    grain = noise(rng, SPRITE_PX, SPRITE_PX, 60)
    angle = rng.uniform(0, 2 * math.pi)
    light = 1 + relief(bulge, rng.uniform(1.2, 3.0), angle) + (grain - 0.5) * 0.16
    light *= 0.62 + 0.38 * blur(mask, 4) ** 2
    colour = mix(colour * light[..., None], leaf.vein_colour, vein * rng.uniform(0.35, 0.7))
    if leaf.gloss:
        shine = np.clip(noise(rng, SPRITE_PX, SPRITE_PX, 4, octaves=2) - 0.58, 0, 1) * leaf.gloss * blur(1 - vein, 4)
        colour = mix(colour, (235, 245, 240), np.clip(shine * 3, 0, 0.6))
    if leaf.stems:
        stem = strokes(leaf.stems)
        colour = mix(colour, leaf.stem_colour, stem * (1 - mask))
        mask = np.maximum(mask, stem)
    return sprite(colour, mask)


def colours(rng: Rng, autumn: float) -> tuple[Colour, Colour]:
    """Two leaf colours that belong together; `autumn` is the chance that the leaf has turned."""
    if rng.random() < autumn:
        return choose(rng, AUTUMN), choose(rng, AUTUMN)
    first = choose(rng, SUMMER)
    return first, vary(rng, first, 22)


def mirror(half: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A closed outline from its right half, top to bottom."""
    return [*half, *[(-x, y) for x, y in reversed(half) if abs(x) > 1e-6]]


def jagged(rng: Rng, points: Sequence[tuple[float, float]], teeth: float) -> Points:
    """Edges that sag between the corners, with small teeth, so that corners stay sharp."""
    out: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        length = math.hypot(x1 - x0, y1 - y0)
        steps = max(2, int(length / 0.07))
        for i in range(steps):
            t = i / steps
            sag = -0.12 * math.sin(math.pi * t) * length + (rng.normal(0, teeth) if i else 0)
            out.append(
                (
                    x0 + (x1 - x0) * t - (y1 - y0) / (length + 1e-9) * sag,
                    y0 + (y1 - y0) * t + (x1 - x0) / (length + 1e-9) * sag,
                )
            )
    return np.array(out)
