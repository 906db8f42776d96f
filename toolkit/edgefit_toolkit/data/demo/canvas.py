"""The drawing tools that every plant and background uses: noise, colour, masks, light.

Shapes are points in unit coordinates, x right and y down, -1..1 across the sheet. A sprite is an RGBA image of one
plant or petal. Every random number comes from the generator that is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Rng = np.random.Generator
Field = NDArray[np.floating[Any]]  # [H, W], mostly 0..1; [H, W, 3] where it is a colour
Points = NDArray[np.float64]  # [N, 2], unit coordinates
Colour = tuple[float, float, float]  # red, green, blue, 0..255

SPRITE_PX = 320
_OVERSAMPLE = 2  # shapes are filled this much larger and averaged down


def noise(rng: Rng, width: int, height: int, cells: float, octaves: int = 1, stretch: float = 1.0) -> Field:
    """Smooth random field [height, width] in 0..1 with about `cells` bumps across; `stretch` pulls them along x."""
    total = np.zeros((height, width), np.float32)
    weight = 0.0
    for octave in range(octaves):
        n = cells * 2**octave
        across = max(2, round(n / stretch))
        down = max(2, round(n * height / width))
        grid = Image.fromarray((rng.random((down, across)) * 255).astype(np.uint8))
        big = grid.resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(big, dtype=np.float32) * (1 / 255 / 2**octave)
        weight += 1 / 2**octave
    return total / np.float32(weight)


def blur(field: Field, radius_px: float) -> Field:
    """A soft copy of a field in 0..1; a single box pass, a third of a Gaussian's time."""
    image = Image.fromarray(np.clip(field * 255, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.BoxBlur(radius_px * 1.4)), dtype=np.float32) / np.float32(255)


def mix(first: Colour | Field, second: Colour | Field, share: Field) -> Field:
    """[H, W, 3]: `first` where share is 0, `second` where it is 1."""
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    mixed = share[..., None] * (b - a)
    mixed += a
    return mixed


def solid(colour: Colour) -> Field:
    """The colour as an array [3]."""
    return np.array(colour, np.float32)


def vary(rng: Rng, colour: Colour, amount: float = 12.0) -> Colour:
    """A colour near this one: mostly another brightness, a little another hue."""
    light = rng.normal(0, amount)
    red, green, blue = (float(np.clip(c + light + rng.normal(0, amount / 2), 0, 255)) for c in colour)
    return red, green, blue


def choose(rng: Rng, options: Sequence[Colour], amount: float = 12.0) -> Colour:
    """One of several colours, varied."""
    return vary(rng, options[int(rng.integers(len(options)))], amount)


def to_px(points: Points, size_px: int = SPRITE_PX) -> list[tuple[float, float]]:
    """Unit coordinates to pixels of a square sheet, with a small margin."""
    px = (points * 0.47 + 0.5) * size_px
    return [(float(x), float(y)) for x, y in px]


def fill(shapes: Sequence[Points], holes: Sequence[Points] = (), size_px: int = SPRITE_PX) -> Field:
    """The shapes' coverage [size, size] in 0..1, edges antialiased; holes are cut out last."""
    sheet = Image.new("L", (size_px * _OVERSAMPLE,) * 2)
    draw = ImageDraw.Draw(sheet)
    for shape in shapes:
        draw.polygon(to_px(shape, size_px * _OVERSAMPLE), fill=255)
    for hole in holes:
        draw.polygon(to_px(hole, size_px * _OVERSAMPLE), fill=0)
    return np.asarray(sheet.reduce(_OVERSAMPLE), dtype=np.float32) / np.float32(255)


def strokes(lines: Sequence[tuple[Points, float]], size_px: int = SPRITE_PX) -> Field:
    """Coverage of tapering lines, each (points, width at its start in unit coordinates)."""
    sheet = Image.new("L", (size_px * _OVERSAMPLE,) * 2)
    draw = ImageDraw.Draw(sheet)
    for points, width in lines:
        px = to_px(points, size_px * _OVERSAMPLE)
        full = width * 0.47 * size_px * _OVERSAMPLE
        for i in range(len(px) - 1):
            taper = 1 - 0.75 * i / max(1, len(px) - 1)
            draw.line([px[i], px[i + 1]], fill=255, width=max(1, round(full * taper)), joint="curve")
    return np.asarray(sheet.reduce(_OVERSAMPLE), dtype=np.float32) / np.float32(255)


def relief(height: Field, strength: float, angle: float) -> Field:
    """How much brighter each point of a bumpy surface is when lit from `angle`, around 0."""
    dx, dy = round(2 * math.cos(angle)), round(2 * math.sin(angle))
    return (height - np.roll(height, (dy, dx), axis=(0, 1))) * np.float32(strength)


def sprite(colour: Field, mask: Field) -> Image.Image:
    """RGBA from colour [H, W, 3] in 0..255 and coverage [H, W] in 0..1."""
    rgba = np.empty((*mask.shape, 4), np.uint8)
    rgba[..., :3] = np.clip(colour, 0, 255)
    rgba[..., 3] = np.clip(mask * 255, 0, 255)
    return Image.fromarray(rgba)


def place(
    layer: Image.Image,
    item: Image.Image,
    at: tuple[float, float],
    angle: float,
    size: tuple[float, float],
    anchor: tuple[float, float] = (0.5, 0.5),
    light: float = 1.0,
    shadow: float = 0.0,
) -> None:
    """Draws `item`, `size` pixels wide and high and turned by `angle`, with its `anchor` (shares of it) at `at`.

    `light` scales its colours; `shadow` (0..1) darkens what lies under and just around it.
    """
    width, height = size
    cos, sin = math.cos(angle), math.sin(angle)
    ax, ay = anchor[0] * width, anchor[1] * height
    corners = [(x - ax, y - ay) for x in (0.0, width) for y in (0.0, height)]
    turned = [(x * cos - y * sin, x * sin + y * cos) for x, y in corners]
    margin = 6
    left = math.floor(at[0] + min(x for x, _ in turned)) - margin
    top = math.floor(at[1] + min(y for _, y in turned)) - margin
    right = math.ceil(at[0] + max(x for x, _ in turned)) + margin
    bottom = math.ceil(at[1] + max(y for _, y in turned)) + margin
    sx, sy = item.width / width, item.height / height
    ox, oy = left - at[0], top - at[1]
    coefficients = [
        cos * sx, sin * sx, (cos * ox + sin * oy + ax) * sx,
        -sin * sy, cos * sy, (-sin * ox + cos * oy + ay) * sy,
    ]  # fmt: skip
    reduce = int(max(1, min(sx, sy)))
    if reduce > 1:  # transform does not average when it shrinks
        item = item.reduce(reduce)
        coefficients = [c / reduce for c in coefficients]
    patch = item.transform(
        (right - left, bottom - top), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    if light != 1.0:
        bands = patch.split()
        patch = Image.merge(
            "RGBA", [b.point([min(255, int(i * light)) for i in range(256)]) for b in bands[:3]] + [bands[3]]
        )
    if shadow > 0:
        soft = patch.getchannel("A").filter(ImageFilter.BoxBlur(5)).point([int(i * shadow) for i in range(256)])
        dark = Image.merge("RGBA", [Image.new("L", patch.size)] * 3 + [soft])
        _compose(layer, dark, left + 2, top + 3, keep_alpha=True)
    _compose(layer, patch, left, top)


def _compose(layer: Image.Image, patch: Image.Image, left: int, top: int, keep_alpha: bool = False) -> None:
    box = (max(0, left), max(0, top), min(layer.width, left + patch.width), min(layer.height, top + patch.height))
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    patch = patch.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))
    under = layer.crop(box)
    over = Image.alpha_composite(under, patch)
    if keep_alpha:  # a shadow falls on what is there, it adds nothing outside
        over.putalpha(under.getchannel("A"))
    layer.paste(over, box)


def curve(points: Sequence[tuple[float, float]], per_segment: int = 8, closed: bool = False) -> Points:
    """A smooth (Catmull-Rom) line through the points."""
    p = np.asarray(points, np.float64)
    before = np.roll(p, 1, axis=0) if closed else np.vstack([2 * p[0] - p[1], p[:-1]])
    after = np.roll(p, -1, axis=0) if closed else np.vstack([p[1:], 2 * p[-1] - p[-2]])
    after2 = np.roll(p, -2, axis=0) if closed else np.vstack([after[1:], 2 * after[-1] - p[-1]])
    last = len(p) if closed else len(p) - 1
    t = (np.arange(per_segment) / per_segment)[None, :, None]
    a, b, c, d = (q[:last, None, :] for q in (before, p, after, after2))
    smooth = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    line: Points = smooth.reshape(-1, 2)
    return line if closed else np.vstack([line, p[-1:]])


def turn(points: Points, angle: float, at: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> Points:
    """The points scaled, turned about the origin and moved to `at`."""
    cos, sin = math.cos(angle), math.sin(angle)
    turned: Points = points @ np.array([[cos, sin], [-sin, cos]]) * scale + np.asarray(at)
    return turned


def bend(points: Points, bow: float, twist: float = 0.0) -> Points:
    """The points bowed sideways, as a leaf that is not quite flat: x moves by bow * y^2, and shears by twist * y."""
    bent = points.copy()
    bent[:, 0] += bow * points[:, 1] ** 2 + twist * points[:, 1]
    return bent
