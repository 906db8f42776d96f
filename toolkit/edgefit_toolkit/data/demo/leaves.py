"""Six leaves: maple, oak, ginkgo, fern, monstera, clover. Each function draws one, upright, as a sprite."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from edgefit_toolkit.data.demo.canvas import (
    SPRITE_PX,
    Points,
    Rng,
    bend,
    blur,
    choose,
    curve,
    fill,
    solid,
    sprite,
    turn,
    vary,
)
from edgefit_toolkit.data.demo.leaf import Leaf, Line, colours, jagged, mirror, paint


def maple(rng: Rng) -> Image.Image:
    """Five pointed lobes, each with side points; opposite veins from one base."""
    base = (0.0, 0.42)
    lobes = [(0.0, 1.30), (0.88, 1.16), (1.74, 0.80)]  # angle from upright, length
    half: list[tuple[float, float]] = []
    veins: list[Line] = []
    slim = rng.uniform(0.8, 1.15)
    stretch = rng.uniform(0.9, 1.1)
    for i, (angle, length) in enumerate(lobes):
        a = angle * stretch + (rng.normal(0, 0.04) if i else 0)
        r = length * rng.uniform(0.92, 1.06)

        def at(share: float, off: float, a: float = a, r: float = r) -> tuple[float, float]:
            # A point along the lobe's own vein, `off` radians beside it.
            return base[0] + math.sin(a + off) * r * share, base[1] - math.cos(a + off) * r * share

        side = [at(0.62, -0.20 * slim), at(0.73, -0.25 * slim), at(0.80, -0.08 * slim)] if i else []
        half += [*side, at(1.0, 0), at(0.80, 0.08 * slim), at(0.73, 0.25 * slim), at(0.62, 0.20 * slim)]
        if i < 2:
            sinus = (0.50, 0.36)[i] * rng.uniform(0.85, 1.15)
            half.append(at(sinus / r, 0.5 * (lobes[i + 1][0] - angle) * stretch))
        for sign in (-1, 1) if i else (1,):
            tip = np.array([at(0.95, 0)]) * [sign, 1]
            veins.append((np.vstack([np.array([base]), tip]), 0.028))
            for share in (0.4, 0.58, 0.74):
                for off in (-0.22, 0.22):
                    a0 = np.array([at(share * 0.8, 0), at(share + 0.08, off * 0.7)]) * [sign, 1]
                    veins.append((a0, 0.013))
    half += [(0.10, base[1] + 0.06)]
    outline = jagged(rng, mirror(half), 0.008)
    bow, twist = rng.normal(0, 0.10), rng.normal(0, 0.06)
    stem = curve([(0, base[1]), (rng.normal(0, 0.05), 0.7), (rng.normal(0, 0.12), 0.98)])
    return paint(rng, Leaf(
        [bend(outline, bow, twist)],
        [(bend(line, bow, twist), width) for line, width in veins],
        colours(rng, 0.65),
        vary(rng, (222, 190, 110), 15),
        stems=[(bend(stem, bow, twist), 0.04)],
        stem_colour=vary(rng, (150, 80, 50)),
    ))  # fmt: skip


def oak(rng: Rng) -> Image.Image:
    """A long leaf with rounded lobes on both sides of one straight vein."""
    lobes = int(rng.integers(4, 6))
    depth = rng.uniform(0.42, 0.6)
    width = rng.uniform(0.46, 0.62)
    t = np.linspace(0, 1, 150)
    sides = []
    for sign in (1, -1):
        phase = rng.normal(0, 0.25)
        envelope = np.sin(np.pi * np.clip(t, 0, 1) ** 1.25) ** 0.75 * width
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (lobes * t**0.92 + 0.12) + phase)
        swell = 1 - depth + depth * np.sqrt(np.clip(wave, 0, 1))
        half = envelope * swell + 0.015
        up = 0.72 - 1.62 * t - 0.16 * half / width  # lobes lean towards the tip
        sides.append(np.stack([sign * half, up], axis=1))
    outline = np.vstack([sides[0], sides[1][::-1]])
    outline += rng.normal(0, 0.004, outline.shape)
    veins: list[Line] = [(np.array([[0, 0.72], [0, -0.82]]), 0.035)]
    for k in range(lobes + 1):
        y = 0.55 - 1.3 * k / (lobes + 0.5)
        reach = width * 0.8 * math.sin(math.pi * min(1, (0.72 - y + 0.1) / 1.62)) ** 0.7
        for sign in (1, -1):
            veins.append((curve([(0, y + 0.06), (sign * reach * 0.5, y - 0.08), (sign * reach, y - 0.22)]), 0.018))
    bow, twist = rng.normal(0, 0.16), rng.normal(0, 0.06)
    stem = curve([(0, 0.70), (rng.normal(0, 0.03), 0.85), (rng.normal(0, 0.08), 1.0)])
    return paint(rng, Leaf(
        [bend(outline, bow, twist)],
        [(bend(line, bow, twist), w) for line, w in veins],
        colours(rng, 0.45),
        vary(rng, (200, 186, 120), 15),
        stems=[(bend(stem, bow, twist), 0.04)],
    ))  # fmt: skip


def ginkgo(rng: Rng) -> Image.Image:
    """A fan on a long stem: wavy rim, often a notch in its middle, fine veins that spread from the stem."""
    spread = rng.uniform(0.85, 1.3)  # half angle
    base = np.array([0.0, 0.35])
    a = np.linspace(-spread, spread, 160)
    rim = 1.08 + 0.05 * np.sin(a * rng.uniform(5, 9) + rng.uniform(0, 6)) + 0.02 * np.sin(a * 31 + rng.uniform(0, 6))
    rim -= rng.uniform(0.05, 0.6) * np.exp(-((a - rng.normal(0, 0.06)) ** 2) / 0.006)
    rim -= 0.16 * (np.abs(a) / spread) ** 6
    fan = base + np.stack([np.sin(a) * rim, -np.cos(a) * rim], axis=1)
    left = curve([tuple(base), (base[0] - 0.18 * math.sin(spread), 0.14), tuple(fan[0])])
    right = curve([tuple(fan[-1]), (base[0] + 0.18 * math.sin(spread), 0.14), tuple(base)])
    outline = np.vstack([left, fan, right])
    bow, twist = rng.normal(0, 0.14), rng.normal(0, 0.08)
    veins: list[Line] = []
    for angle in np.linspace(-spread * 0.94, spread * 0.94, 34):
        r = 1.02
        start = base + 0.06 * np.array([math.sin(angle), -math.cos(angle)])
        veins.append((np.array([start, base + r * np.array([math.sin(angle), -math.cos(angle)])]), 0.009))
    stem = curve([(0, 0.33), (rng.normal(0, 0.08), 0.65), (rng.normal(0, 0.2), 1.0)])
    yellow, green = (232, 196, 44), (130, 168, 62)
    first = vary(rng, yellow if rng.random() < 0.6 else green)
    second = vary(rng, yellow if rng.random() < 0.5 else green)
    return paint(rng, Leaf(
        [bend(outline, bow, twist)],
        [(bend(line, bow, twist), w) for line, w in veins],
        (first, second),
        vary(rng, (250, 232, 140)),
        stems=[(bend(stem, bow, twist), 0.045)],
        stem_colour=vary(rng, (170, 160, 70)),
    ))  # fmt: skip


def fern(rng: Rng) -> Image.Image:
    """A frond: a bowed midrib with many pairs of toothed leaflets that shrink towards the tip."""
    bow, twist = rng.normal(0, 0.22), rng.normal(0, 0.08)
    pairs = int(rng.integers(15, 22))
    longest = rng.uniform(0.62, 0.86)
    lean = rng.uniform(0.2, 0.55)
    shapes: list[Points] = []
    veins: list[Line] = [(bend(np.array([[0, y] for y in np.linspace(0.98, -0.95, 12)]), bow, twist), 0.035)]
    teeth = int(rng.integers(5, 9))
    t = np.linspace(0, 1, teeth * 4)
    blade = 0.5 * np.sin(np.pi * t**0.7) ** 0.8 * (0.72 + 0.28 * np.cos(2 * np.pi * teeth * t))
    for k in range(pairs):
        share = k / (pairs - 1)
        y = 0.62 - 1.5 * share
        length = longest * (1 - share) ** 0.75 * (0.75 + 0.25 * math.sin(math.pi * min(1, share * 3))) + 0.04
        for sign in (1, -1):
            reach = length * rng.uniform(0.9, 1.08)
            width = min(0.16, 2.1 / pairs) * (0.45 + 0.55 * reach / longest)
            leaflet = np.vstack([
                np.stack([t * reach, blade * width], axis=1),
                np.stack([t * reach, -blade * width], axis=1)[::-1],
            ])  # fmt: skip
            angle = lean + rng.normal(0, 0.06) + 0.35 * share
            turned = turn(leaflet, -angle) * [sign, 1] + [0, y + (0.02 if sign > 0 else -0.01)]
            shapes.append(bend(turned, bow, twist))
            rib = turn(np.array([[0, 0], [reach * 0.9, 0]]), -angle) * [sign, 1] + [0, y]
            veins.append((bend(rib, bow, twist), 0.012))
    first = choose(rng, ((84, 156, 52), (60, 136, 56), (120, 172, 66), (160, 160, 66)))
    return paint(rng, Leaf(
        shapes,
        veins,
        (first, vary(rng, first, 20)),
        vary(rng, (150, 180, 90)),
        stems=[veins[0]],
        stem_colour=vary(rng, (110, 100, 50)),
    ))  # fmt: skip


def monstera(rng: Rng) -> Image.Image:
    """A broad heart, cut from the rim towards the midrib, with holes along it; dark and glossy."""
    wide = rng.uniform(0.84, 1.0)
    half = [
        (0.0, 0.95),
        (0.34, 0.72),
        (0.68, 0.36),
        (0.88, -0.08),
        (0.82, -0.52),
        (0.52, -0.84),
        (0.22, -0.80),
        (0.0, -0.52),
    ]
    outline = curve(mirror([(x * wide, y) for x, y in half]), closed=True)
    bow, twist = rng.normal(0, 0.12), rng.normal(0, 0.06)
    holes: list[Points] = []
    veins: list[Line] = [(np.array([[0, -0.55], [0, 0.92]]), 0.04)]
    cuts = int(rng.integers(4, 7))
    circle = np.linspace(0, 2 * math.pi, 24)
    for sign in (1, -1):
        for k in range(cuts):
            y = -0.42 + 1.0 * (k + rng.uniform(0.25, 0.55)) / cuts
            slope = 0.35 - 0.5 * (y < -0.25)
            depth = rng.uniform(0.25, 0.5)
            tip = rng.uniform(0.035, 0.065)
            cut = [
                (depth, y),
                (depth + 0.12, y - tip),
                (1.3, y + slope - tip * 1.6),
                (1.3, y + slope + tip * 0.7),
                (depth + 0.12, y + tip),
            ]
            holes.append(curve([(x * sign, v) for x, v in cut], closed=True))
            vein_y = y - 0.5 / cuts
            veins.append((curve([(0, vein_y), (sign * 0.4, vein_y + 0.1), (sign * 0.8, vein_y + 0.35)]), 0.02))
            if rng.random() < 0.55:
                oval = np.stack(
                    [np.cos(circle) * rng.uniform(0.05, 0.09), np.sin(circle) * rng.uniform(0.02, 0.04)], axis=1
                )
                holes.append(turn(oval, 0.3) * [sign, 1] + [sign * rng.uniform(0.14, 0.2), y + rng.normal(0, 0.01)])
    first = choose(rng, ((28, 84, 44), (40, 104, 50), (58, 124, 58), (88, 140, 60)))
    return paint(rng, Leaf(
        [bend(outline, bow, twist)],
        [(bend(line, bow, twist), w) for line, w in veins],
        (first, vary(rng, first, 14)),
        vary(rng, (150, 190, 110)),
        stems=[(bend(curve([(0, -0.5), (rng.normal(0, 0.1), -0.8), (rng.normal(0, 0.2), -1.0)]), bow, twist), 0.05)],
        stem_colour=vary(rng, (90, 130, 70)),
        holes=[bend(hole, bow, twist) for hole in holes],
        gloss=rng.uniform(0.2, 1.0),
    ))  # fmt: skip


def clover(rng: Rng) -> Image.Image:
    """Three heart-shaped leaflets (four, rarely) around one point, each with a pale chevron."""
    leaflets = 4 if rng.random() < 0.12 else 3
    heart = curve(
        [(0, 0.06), (0.16, -0.22), (0.36, -0.52), (0.30, -0.82), (0.12, -0.86), (0, -0.76),
         (-0.12, -0.86), (-0.30, -0.82), (-0.36, -0.52), (-0.16, -0.22)],
        closed=True,
    )  # fmt: skip
    plump = rng.uniform(1.0, 1.35) if leaflets == 3 else rng.uniform(0.85, 1.0)
    shapes, veins, chevrons = [], [], []
    for k in range(leaflets):
        angle = 2 * math.pi * k / leaflets + rng.normal(0, 0.08)
        size = rng.uniform(0.92, 1.1)
        squash = np.array([plump, rng.uniform(0.85, 1.05)])
        shapes.append(turn(heart * squash, angle, scale=size))
        veins.append((turn(np.array([[0, 0], [0, -0.74]]) * squash, angle, scale=size), 0.018))
        for y in (-0.2, -0.32, -0.44, -0.56):
            for sign in (1, -1):
                veins.append((turn(np.array([[0, y], [sign * 0.22, y - 0.14]]) * squash, angle, scale=size), 0.009))
        v = np.array([[-0.24, -0.40], [0, -0.58], [0.24, -0.40], [0.22, -0.34], [0, -0.48], [-0.22, -0.34]])
        chevrons.append(turn(v * squash, angle, scale=size))
    first = choose(rng, ((66, 140, 54), (86, 156, 60), (50, 116, 56), (100, 150, 80)))
    leaf = paint(rng, Leaf(
        shapes,
        veins,
        (first, vary(rng, first, 14)),
        vary(rng, (140, 190, 110)),
        stems=[(curve([(0, 0), (rng.normal(0, 0.1), 0.5), (rng.normal(0, 0.2), 1.0)]), 0.045)],
        stem_colour=vary(rng, (110, 140, 70)),
    ))  # fmt: skip
    pale = sprite(
        np.broadcast_to(solid(vary(rng, (196, 220, 180), 8)), (SPRITE_PX, SPRITE_PX, 3)),
        blur(fill(chevrons), 2.5) * np.asarray(leaf.getchannel("A"), np.float32) / 255 * rng.uniform(0.15, 0.75),
    )
    return Image.alpha_composite(leaf, pale)
