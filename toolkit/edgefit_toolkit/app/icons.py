"""The app's icons, drawn here: a leaf on a rounded square. The same bytes every time."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageDraw

GROUND, LEAF, VEIN = (0, 112, 78), (236, 248, 240), (0, 112, 78)
OVERSAMPLING = 4  # drawn larger and scaled down: smooth edges


def icon(side_px: int, *, maskable: bool = False) -> bytes:
    """A PNG of side_px. A maskable icon fills the square and keeps the leaf inside the middle 80% (W3C manifest)."""
    side = side_px * OVERSAMPLING
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    radius = 0 if maskable else round(0.22 * side)
    draw.rounded_rectangle((0, 0, side - 1, side - 1), radius, fill=GROUND)
    reach = (0.30 if maskable else 0.36) * side
    # a lens between two arcs, tip to the upper right
    steps = 60
    right, left = [], []
    for i in range(steps + 1):
        along = -reach + 2 * reach * i / steps
        bulge = 0.52 * reach * math.sin(math.pi * i / steps) ** 0.8
        right.append((along, bulge))
        left.append((along, -bulge))
    outline = [_turn(x, y, side) for x, y in [*right, *reversed(left)]]
    draw.polygon(outline, fill=LEAF)
    width = max(1, round(0.028 * side))
    draw.line([_turn(-1.28 * reach, 0, side), _turn(-0.9 * reach, 0, side)], fill=LEAF, width=round(1.6 * width))
    draw.line([_turn(-0.95 * reach, 0, side), _turn(0.72 * reach, 0, side)], fill=VEIN, width=width)
    for at in (-0.45, 0.0, 0.4):
        for sign in (-1, 1):
            tip = (at * reach + 0.3 * reach, sign * 0.3 * reach * (1.1 - abs(at)))
            draw.line([_turn(at * reach, 0, side), _turn(*tip, side)], fill=VEIN, width=round(0.7 * width))
    stream = io.BytesIO()
    image.resize((side_px, side_px), Image.Resampling.LANCZOS).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _turn(x: float, y: float, side: int) -> tuple[float, float]:
    """From the leaf's own axes (along, across) to the picture's, turned by 45 degrees."""
    c = math.sqrt(0.5)
    return side / 2 + c * (x + y), side / 2 - c * (x - y)
