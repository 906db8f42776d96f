"""What a plant is seen in front of: eight kinds of ground, each an RGB picture [H, W, 3] in 0..255."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edgefit_toolkit.data.demo.canvas import Colour, Field, Rng, blur, choose, mix, noise, relief, vary

Picture = Field  # [H, W, 3]
_GREENS: tuple[Colour, ...] = ((58, 98, 38), (82, 122, 46), (40, 74, 36), (104, 132, 62))
_BROWNS: tuple[Colour, ...] = ((98, 72, 48), (74, 54, 40), (124, 96, 66), (60, 48, 42))


def _picture(image: Image.Image) -> Picture:
    return np.asarray(image, dtype=np.float32)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    return int(colour[0]), int(colour[1]), int(colour[2])


def plain(rng: Rng, width: int, height: int) -> Picture:
    """Paper or a wall: one colour, unevenly lit."""
    colour = choose(
        rng, ((232, 228, 218), (200, 204, 206), (60, 62, 66), (226, 206, 190), (176, 196, 204), (30, 30, 32))
    )
    field = noise(rng, width, height, 2)
    paper = noise(rng, width, height, 120) - 0.5
    return mix(colour, vary(rng, colour, 25), field) + paper[..., None] * 10


def soil(rng: Rng, width: int, height: int) -> Picture:
    """Crumbs of earth with stones."""
    crumbs = noise(rng, width, height, rng.uniform(30, 55), octaves=3)
    base = choose(rng, _BROWNS)
    ground = mix((base[0] * 0.4, base[1] * 0.4, base[2] * 0.4), vary(rng, base, 10), np.clip(crumbs * 1.9 - 0.4, 0, 1))
    ground = ground * (1 + relief(crumbs, 2.5, rng.uniform(0, 6.3)))[..., None]
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(5, 45))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1.5, 9)
        tone = choose(rng, ((150, 140, 128), (110, 100, 92), (180, 168, 150)))
        draw.ellipse(
            [x - r, y - r * 0.7 + 2, x + r, y + r * 0.7 + 2], fill=_rgb((base[0] * 0.3, base[1] * 0.3, base[2] * 0.3))
        )
        draw.ellipse([x - r, y - r * 0.7, x + r, y + r * 0.7], fill=_rgb(tone))
    return _picture(image.filter(ImageFilter.GaussianBlur(0.7)))


def blades(rng: Rng, draw: ImageDraw.ImageDraw, width: int, height: int, count: int, long: float, dim: float) -> None:
    """Grass blades from the lower part of the sheet, curved and tapering."""
    green = choose(rng, _GREENS)
    for _ in range(count):
        x, y = rng.uniform(-20, width + 20), rng.uniform(0.2, 1.25) * height
        length = long * rng.uniform(0.5, 1.2)
        lean, curl = rng.normal(0, 0.35), rng.normal(0, 0.5)
        thick = rng.uniform(1.5, 4.5)
        right, left = [], []
        for i in range(6):
            t = i / 5
            a = lean + curl * t
            px, py = x + math.sin(a) * length * t, y - math.cos(a) * length * t
            half = thick * (1 - t) + 0.3
            right.append((px + half, py))
            left.append((px - half, py))
        colour = vary(rng, green, 22)
        draw.polygon(right + left[::-1], fill=_rgb((colour[0] * dim, colour[1] * dim, colour[2] * dim)))


def grass(rng: Rng, width: int, height: int) -> Picture:
    """A lawn or a meadow, darker and softer in its depth."""
    image = Image.new("RGB", (width, height), _rgb(vary(rng, (34, 54, 24), 8)))
    draw = ImageDraw.Draw(image)
    blades(rng, draw, width, height, 150, height * 0.35, 0.65)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1, 4)))
    blades(rng, ImageDraw.Draw(image), width, height, int(rng.integers(40, 140)), height * 0.4, 1.0)
    return _picture(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 3))))


def wood(rng: Rng, width: int, height: int) -> Picture:
    """Planks: grain along them, a gap between them."""
    base = choose(rng, ((172, 126, 80), (120, 82, 52), (196, 168, 132), (92, 78, 68)))
    across = width if rng.random() < 0.5 else height
    along = height if across == width else width
    planks = int(rng.integers(2, 6))
    y = np.arange(across, dtype=np.float32)[:, None] * (planks / across)
    wave = noise(rng, along, across, 5, stretch=4) * rng.uniform(2, 6)
    grain = 0.5 + 0.5 * np.sin(y * rng.uniform(16, 40) + wave * 6 + np.floor(y) * 40)
    fibre = noise(rng, along, across, 150, stretch=12)
    tone = np.floor(y) * 0.37 % 1.0 * 0.25 + 0.85
    picture = mix((base[0] * 0.72, base[1] * 0.70, base[2] * 0.66), base, grain * 0.5 + fibre * 0.5) * tone[..., None]
    gap = np.clip(1 - np.abs(y - np.round(y)) * across / planks / 2.5, 0, 1)
    picture = picture * (1 - 0.8 * gap[..., None])
    return picture if across == height else np.ascontiguousarray(picture.transpose(1, 0, 2))


def stone(rng: Rng, width: int, height: int) -> Picture:
    """Granite, concrete or slate, with cracks."""
    base = choose(rng, ((148, 146, 142), (104, 108, 114), (176, 168, 156), (72, 74, 80)))
    rough = noise(rng, width, height, 6, octaves=4)
    speck = noise(rng, width, height, 130)
    picture = mix((base[0] * 0.6, base[1] * 0.6, base[2] * 0.6), base, np.clip(rough * 1.6 - 0.2, 0, 1))
    picture = picture * (1 + relief(rough, 1.6, 0.8) + (speck - 0.5) * rng.uniform(0.1, 0.5))[..., None]
    veins = np.abs(noise(rng, width, height, rng.uniform(2, 5), octaves=2) - 0.5)
    cracks: Field = 1 - rng.uniform(0, 0.6) * np.clip(1 - veins * 60, 0, 1)
    return picture * cracks[..., None]


def bokeh(rng: Rng, width: int, height: int) -> Picture:
    """A garden far out of focus, with discs of light."""
    first, second = choose(rng, _GREENS, 20), choose(rng, (*_GREENS, *_BROWNS, (150, 170, 180)), 20)
    image = Image.fromarray(
        np.clip(mix(first, second, noise(rng, width, height, 3, octaves=2)), 0, 255).astype(np.uint8)
    )
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(int(rng.integers(6, 30))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(6, 34)
        tone = choose(rng, ((230, 232, 190), (180, 204, 120), (250, 240, 220), (220, 140, 120), (230, 200, 80)), 15)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=(*_rgb(tone), int(rng.integers(20, 110))))
    return _picture(image.filter(ImageFilter.GaussianBlur(rng.uniform(3, 9))))


def sky(rng: Rng, width: int, height: int) -> Picture:
    """Blue to pale with clouds, held up against the light."""
    top, bottom = choose(rng, ((74, 130, 200), (120, 160, 206), (160, 170, 182))), vary(rng, (206, 220, 232), 10)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    clouds = np.clip(noise(rng, width, height, 3, octaves=4) * 3 - rng.uniform(1.2, 2.0), 0, 1)
    return mix(mix(top, bottom, down), (246, 246, 246), clouds * 0.8)


def litter(rng: Rng, width: int, height: int) -> Picture:
    """Fallen leaves of no particular kind."""
    image = Image.new("RGB", (width, height), _rgb(vary(rng, (46, 34, 24), 6)))
    draw = ImageDraw.Draw(image)
    t = np.linspace(0, 2 * math.pi, 18)
    colours = ((140, 92, 44), (110, 66, 36), (170, 120, 56), (92, 60, 44), (130, 110, 60), (84, 96, 46))
    for _ in range(int(rng.integers(50, 90))):
        long, slim, a = rng.uniform(18, 48), rng.uniform(0.3, 0.6), rng.uniform(0, 6.3)
        x = np.cos(t) * long
        y = np.sin(t) * np.abs(np.sin(t / 2)) * long * slim * rng.uniform(0.9, 1.6)
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        px, py = cx + x * math.cos(a) - y * math.sin(a), cy + x * math.sin(a) + y * math.cos(a)
        colour = choose(rng, colours, 16)
        dark = (colour[0] * 0.35, colour[1] * 0.35, colour[2] * 0.35)
        draw.polygon([(float(u) + 2, float(v) + 3) for u, v in zip(px, py, strict=True)], fill=_rgb(dark))
        draw.polygon([(float(u), float(v)) for u, v in zip(px, py, strict=True)], fill=_rgb(colour))
        draw.line(
            [(float(px[0]), float(py[0])), (float(px[9]), float(py[9]))],
            fill=_rgb((colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7)),
        )
    picture = _picture(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.2))))
    return picture * (0.75 + 0.5 * noise(rng, width, height, 40, octaves=2))[..., None]


BACKGROUNDS: tuple[Callable[[Rng, int, int], Picture], ...] = (plain, soil, grass, wood, stone, bokeh, sky, litter)
OUTDOORS = (soil, grass, bokeh, litter)  # where grass may stand before the lens and sun fall through leaves


def dapple(rng: Rng, width: int, height: int) -> Field:
    """Light that falls through leaves [H, W]: patches of sun, the rest in shade."""
    patches = noise(rng, width, height, rng.uniform(3, 7), octaves=2)
    return 0.62 + 0.46 * blur(np.clip((patches - 0.5) * 9 + 0.5, 0, 1), 5)
