"""Four flowers: daisy, sunflower, tulip, rose. Each function draws one as a sprite; petals are sprites of their own."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from edgefit_toolkit.data.demo.canvas import (
    SPRITE_PX,
    Colour,
    Points,
    Rng,
    blur,
    choose,
    curve,
    fill,
    mix,
    noise,
    place,
    relief,
    solid,
    sprite,
    strokes,
    vary,
)

_PETAL_PX = 128
_GOLDEN = math.pi * (3 - math.sqrt(5))  # the angle between neighbouring seeds of a sunflower head


def _sheet() -> Image.Image:
    return Image.new("RGBA", (SPRITE_PX, SPRITE_PX))


def _petal(rng: Rng, outline: Points, base: Colour, tip: Colour, streaks: float = 0.15) -> Image.Image:
    """One petal, tip up: colour runs from base to tip, with streaks along it and a soft round light."""
    mask = fill([outline], size_px=_PETAL_PX)
    y = np.linspace(1, 0, _PETAL_PX, dtype=np.float32)[:, None]  # 0 at the base
    streak = noise(rng, _PETAL_PX, _PETAL_PX, 24, stretch=1.0)[:1].repeat(_PETAL_PX, axis=0) - 0.5
    share = np.clip(y + (noise(rng, _PETAL_PX, _PETAL_PX, 3) - 0.5) * 0.4, 0, 1)
    colour = mix(base, tip, share)
    x = np.linspace(-1, 1, _PETAL_PX, dtype=np.float32)[None, :]
    light = 1 + streaks * streak - 0.14 * x * rng.uniform(0.3, 1.0) - 0.10 * x**2
    light *= 0.74 + 0.26 * blur(mask, 4)
    return sprite(colour * light[..., None], mask)


def _blade(width: float, pointed: float, notch: float = 0.0) -> Points:
    """A long petal, base at the bottom. `pointed` 0 is a round tip, 1 a sharp one."""
    t = np.linspace(0, 1, 40)
    half = np.sin(math.pi * t ** (0.75 - 0.15 * pointed)) ** (0.55 + 0.4 * pointed) * width
    half = half * (1 - 0.45 * (1 - t) ** 2)
    x = np.concatenate([half, -half[::-1]])
    y = np.concatenate([0.98 - 1.96 * t, (0.98 - 1.96 * t)[::-1]])
    y = y + notch * np.exp(-(x**2) / 0.01) * (y < -0.6)
    return np.stack([x, y], axis=1)


def _uneven(rng: Rng, corners: list[tuple[float, float]], amount: float) -> Points:
    """A smooth closed outline whose corners are each a little off."""
    return curve([(x + rng.normal(0, amount), y + rng.normal(0, amount / 2)) for x, y in corners], closed=True)


def _disc(rng: Rng, radius_px: float, rim: Colour, middle: Colour, seeds: int) -> Image.Image:
    """The middle of a daisy or sunflower: seeds in their spiral, domed light."""
    size = 160
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
    r = np.hypot(xx - size / 2, yy - size / 2) / (size * 0.47)
    colour = mix(middle, rim, np.clip(r**1.5, 0, 1))
    bumps = Image.new("L", (size, size), 90)
    dots = np.arange(seeds)
    rr, aa = np.sqrt((dots + 0.5) / seeds) * size * 0.46, dots * _GOLDEN
    draw = ImageDraw.Draw(bumps)
    dot = size * 0.52 / math.sqrt(seeds)
    for x, y in zip(size / 2 + rr * np.cos(aa), size / 2 + rr * np.sin(aa), strict=True):
        tone = int(rng.integers(120, 255))
        draw.ellipse([x - dot, y - dot, x + dot, y + dot], fill=tone)
    height = np.asarray(bumps, np.float32) / 255
    light = 0.55 + 0.6 * height + relief(blur(height, 1), 1.2, rng.uniform(0, 6.3))
    light *= 1.12 - 0.4 * np.clip(r, 0, 1) ** 3
    mask = np.clip((1 - r) * size * 0.47, 0, 1)
    return sprite(colour * light[..., None], mask)


def _rays(
    rng: Rng, layer: Image.Image, petals: list[Image.Image], count: int, length: float, width: float, ragged: float
) -> None:
    """Petals around the middle of the sheet, each a little different."""
    centre = SPRITE_PX / 2
    offset = rng.uniform(0, 6.3)
    for k in rng.permutation(count):
        angle = offset + 2 * math.pi * int(k) / count + rng.normal(0, ragged)
        size = (width * rng.uniform(0.85, 1.15), length * rng.uniform(0.9, 1.06))
        petal = petals[int(rng.integers(len(petals)))]
        place(layer, petal, (centre, centre), angle, size, (0.5, 0.97), rng.uniform(0.86, 1.06), shadow=0.35)


def daisy(rng: Rng) -> Image.Image:
    """Narrow white rays (pale yellow or pink in a few) around a yellow disc."""
    white: Colour = (244, 242, 236)
    tip = vary(rng, white, 5)
    base = vary(rng, (222, 224, 206), 6)
    luck = rng.random()
    if luck < 0.15:
        tip = vary(rng, (240, 178, 200), 10)
    elif luck < 0.38:  # a yellow daisy: as near to a sunflower as it gets
        tip, base = vary(rng, (248, 214, 70), 8), vary(rng, (240, 190, 40), 8)
    pointed = rng.uniform(0.0, 0.35)
    petals = [_petal(rng, _blade(rng.uniform(0.45, 0.62), pointed, 0.12), base, tip, 0.25) for _ in range(2)]
    layer = _sheet()
    reach = SPRITE_PX * 0.47
    count = int(rng.integers(15, 30))
    width = reach * rng.uniform(6.5, 9.5) / count
    _rays(rng, layer, petals, count, reach, width, rng.uniform(0.02, 0.07))
    radius = reach * rng.uniform(0.22, 0.34)
    disc = _disc(rng, radius, vary(rng, (206, 140, 20)), vary(rng, (244, 196, 40)), 130)
    place(layer, disc, (SPRITE_PX / 2,) * 2, rng.uniform(0, 6), (2 * radius,) * 2, shadow=0.5)
    return layer


def sunflower(rng: Rng) -> Image.Image:
    """Two rings of pointed yellow rays around a large dark disc."""
    tip, base = choose(rng, ((252, 204, 30), (246, 182, 24), (254, 220, 80))), vary(rng, (232, 140, 14))
    if rng.random() < 0.12:
        tip, base = vary(rng, (200, 90, 30)), vary(rng, (130, 40, 20))  # a red variety
    petals = [_petal(rng, _blade(rng.uniform(0.42, 0.6), rng.uniform(0.5, 0.95)), base, tip, 0.3) for _ in range(2)]
    layer = _sheet()
    reach = SPRITE_PX * 0.48
    count = int(rng.integers(15, 24))
    width = reach * rng.uniform(6.5, 9.0) / count
    _rays(rng, layer, petals, count, reach, width, 0.08)
    _rays(rng, layer, petals, count - 2, reach * rng.uniform(0.82, 0.92), width, 0.08)
    radius = reach * rng.uniform(0.34, 0.54)
    dark = rng.random() < 0.8
    rim = vary(rng, (120, 74, 22) if dark else (200, 140, 30))
    middle = vary(rng, (58, 36, 16) if dark else (150, 140, 50))
    disc = _disc(rng, radius, rim, middle, int(rng.integers(180, 300)))
    place(layer, disc, (SPRITE_PX / 2,) * 2, rng.uniform(0, 6), (2 * radius,) * 2, shadow=0.6)
    return layer


_BLOOM: tuple[Colour, ...] = (
    (204, 28, 40),
    (232, 90, 120),
    (246, 200, 60),
    (242, 236, 224),
    (240, 130, 60),
    (150, 60, 150),
)


def tulip(rng: Rng) -> Image.Image:
    """A cup of broad petals seen from the side, on a stem between long leaves."""
    layer = _sheet()
    s = SPRITE_PX
    stem_x = rng.normal(0, 0.12)
    stem = strokes([(curve([(0, -0.05), (stem_x * 0.3, 0.45), (stem_x, 1.05)]), 0.075)])
    green = choose(rng, ((92, 142, 72), (76, 124, 66), (120, 158, 90)))
    tube = 1 + relief(blur(stem, 5), 1.6, 0.0)
    layer.alpha_composite(sprite(solid(green) * tube[..., None], (stem > 0.1) * stem))
    leaf = _petal(rng, _blade(0.34, 0.9), vary(rng, green), vary(rng, green, 18), 0.5)
    for side in rng.permutation([-1, 1])[: int(rng.integers(1, 3))]:
        place(layer, leaf, (s * (0.5 + 0.23 * stem_x), s * 0.99), float(side) * rng.uniform(0.18, 0.5),
              (s * rng.uniform(0.16, 0.3), s * rng.uniform(0.4, 0.62)), (0.5, 0.98), shadow=0.4)  # fmt: skip
    tip = choose(rng, _BLOOM, 14)
    base = (
        vary(rng, (236, 214, 110)) if rng.random() < 0.3 else vary(rng, (tip[0] * 0.72, tip[1] * 0.66, tip[2] * 0.66))
    )
    height, width = s * rng.uniform(0.44, 0.54), s * rng.uniform(0.22, 0.3)
    openness = rng.uniform(0.02, 0.42)
    cup = [(0, 0.98), (0.52, 0.74), (0.78, 0.2), (0.60, -0.5), (0.14, -0.92), (0, -0.99),
           (-0.14, -0.92), (-0.60, -0.5), (-0.78, 0.2), (-0.52, 0.74)]  # fmt: skip
    petals = [_petal(rng, _uneven(rng, cup, 0.035), base, tip, 0.35) for _ in range(2)]
    bottom = (s * 0.5, s * 0.53)
    back = 0.82
    for lean, light, wide in (
        (-openness * 0.5, back, 0.95), (openness * 0.5, back, 0.95), (0.0, back + 0.06, 1.0),
        (-openness - 0.12, 0.97, 0.98), (openness + 0.12, 0.94, 0.98), (rng.normal(0, 0.05), 1.05, 1.08),
    ):  # fmt: skip
        tall = height * (0.93 if wide > 1.05 else rng.uniform(0.96, 1.04))
        place(layer, petals[int(rng.integers(2))], bottom, lean + rng.normal(0, 0.03), (width * wide * 1.25, tall),
              (0.5, 0.98), light * rng.uniform(0.95, 1.05), shadow=0.45)  # fmt: skip
    return layer


def rose(rng: Rng) -> Image.Image:
    """Many broad petals wound around the middle, outer ones open; often with leaves behind."""
    layer = _sheet()
    centre = SPRITE_PX / 2
    green = choose(rng, ((54, 100, 44), (70, 118, 56), (44, 84, 50)))
    leaf_outline = _blade(0.6, 0.7)
    leaf_outline[:, 0] *= 1 + 0.08 * np.sign(np.sin(leaf_outline[:, 1] * 40))  # toothed
    leaf = _petal(rng, leaf_outline, vary(rng, green), vary(rng, green, 14), 0.5)
    first = rng.uniform(0, 6.3)
    for k in range(int(rng.integers(0, 5))):
        place(layer, leaf, (centre, centre), first + k * rng.uniform(1.1, 1.6), (SPRITE_PX * 0.26, SPRITE_PX * 0.49),
              (0.5, 0.98), rng.uniform(0.8, 1.05), shadow=0.4)  # fmt: skip
    rim = choose(rng, _BLOOM[:5], 14)
    deep = vary(rng, (rim[0] * 0.62, rim[1] * 0.5, rim[2] * 0.5), 6)
    broad = [(0, 0.95), (0.55, 0.8), (0.92, 0.1), (0.8, -0.62), (0.36, -0.9), (0, -0.86),
             (-0.36, -0.92), (-0.8, -0.62), (-0.92, 0.1), (-0.55, 0.8)]  # fmt: skip
    petals = [_petal(rng, _uneven(rng, broad, 0.05), deep, rim, 0.12) for _ in range(3)]
    full = SPRITE_PX * rng.uniform(0.36, 0.43)
    angle = rng.uniform(0, 6.3)
    rings = int(rng.integers(5, 7))
    for ring in range(rings):
        share = 1 - ring / rings
        radius = full * (0.16 + 0.84 * share**1.15)
        count = (6, 6, 5, 5, 4, 3)[min(5, ring)]
        for _ in range(count):
            angle += 2 * math.pi / count + rng.normal(0, 0.12)
            size = (radius * rng.uniform(1.15, 1.4), radius * rng.uniform(0.98, 1.1))
            dim = (0.72 + 0.34 * share) * rng.uniform(0.93, 1.07)
            place(layer, petals[int(rng.integers(3))], (centre, centre), angle, size, (0.5, 0.9), dim, shadow=0.75)
        angle += 0.6
    return layer
