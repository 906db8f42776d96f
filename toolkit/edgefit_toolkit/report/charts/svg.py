"""Small inline SVG: axes, ticks, marks.

Colours are CSS classes, so the page's light and dark palettes apply; text stays text; the same input gives the same
bytes. By hand rather than by matplotlib: a chart is 2 to 8 kB, follows the reader's colours, and costs no import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 380.0, 270.0  # user units; narrow, so that its text is still readable on a 360 px phone
LEFT, RIGHT, TOP, BOTTOM = 50.0, 16.0, 14.0, 44.0


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within [low, high], at most about `most` of them."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def text_of(value: float) -> str:
    """A tick's label: no needless zeros."""
    return f"{value:.10g}".replace("-", "−")


@dataclass
class Chart:
    """A plot under construction: data coordinates in, SVG out."""

    name: str  # unique on the page: ids of title and description come from it
    title: str
    description: str  # what a reader who cannot see it should know
    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str = ""
    y_label: str = ""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM
    parts: list[str] = field(default_factory=list)

    def px(self, x: float) -> float:
        """Data x to user units."""
        low, high = self.x
        return self.left + (x - low) / (high - low) * (self.width - self.left - self.right)

    def py(self, y: float) -> float:
        """Data y to user units (upwards)."""
        low, high = self.y
        return self.height - self.bottom - (y - low) / (high - low) * (self.height - self.top - self.bottom)

    def line(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """A polyline through data points."""
        at = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{css}" points="{at}"/>')

    def area(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """A filled polygon through data points."""
        at = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polygon class="{css}" points="{at}"/>')

    def rect(self, x0: float, y0: float, x1: float, y1: float, css: str, tip: str = "") -> None:
        """A filled rectangle between two data corners."""
        left, right = sorted((self.px(x0), self.px(x1)))
        top, bottom = sorted((self.py(y0), self.py(y1)))
        self.parts.append(
            f'<rect class="{css}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}">{_tip(tip)}</rect>'
        )

    def dot(self, x: float, y: float, css: str, tip: str = "", shape: str = "circle", size: float = 4.5) -> None:
        """A mark: circle, square, diamond or triangle (shape carries meaning as well as colour)."""
        cx, cy, s = self.px(x), self.py(y), size
        if shape == "circle":
            self.parts.append(f'<circle class="{css}" cx="{cx:.1f}" cy="{cy:.1f}" r="{s:g}">{_tip(tip)}</circle>')
            return
        corners = {
            "square": ((-s, -s), (s, -s), (s, s), (-s, s)),
            "diamond": ((0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0)),
            "triangle": ((0, -1.3 * s), (1.2 * s, s), (-1.2 * s, s)),
        }[shape]
        at = " ".join(f"{cx + dx:.1f},{cy + dy:.1f}" for dx, dy in corners)
        self.parts.append(f'<polygon class="{css}" points="{at}">{_tip(tip)}</polygon>')

    def text(self, x: float, y: float, words: str, css: str = "t", anchor: str = "start",
             dx: float = 0, dy: float = 0) -> None:  # fmt: skip
        """Words at a data point, moved by (dx, dy) user units."""
        self.raw_text(self.px(x) + dx, self.py(y) + dy, words, css, anchor)

    def raw_text(self, x: float, y: float, words: str, css: str = "t", anchor: str = "start") -> None:
        """Words at user units."""
        at = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}"{at}>{escape(words)}</text>')

    def axes(self, x_ticks: Sequence[float] | None = None, y_ticks: Sequence[float] | None = None,
             x_text: dict[float, str] | None = None, percent_y: bool = False) -> None:  # fmt: skip
        """Grid lines, tick labels and axis titles; call before drawing marks."""
        floor, roof = self.height - self.bottom, self.top
        for value in ticks(*self.y) if y_ticks is None else y_ticks:
            at = self.py(value)
            self.parts.append(f'<path class="grid" d="M{self.left:g} {at:.1f}H{self.width - self.right:g}"/>')
            words = f"{100 * value:.0f}%" if percent_y else text_of(value)
            self.raw_text(self.left - 6, at + 4, words, "t", "end")
        for value in ticks(*self.x) if x_ticks is None else x_ticks:
            at = self.px(value)
            self.parts.append(f'<path class="grid" d="M{at:.1f} {roof:g}V{floor:g}"/>')
            self.raw_text(at, floor + 16, (x_text or {}).get(value, text_of(value)), "t", "middle")
        middle = (self.left + self.width - self.right) / 2
        if self.x_label:
            self.raw_text(middle, self.height - 8, self.x_label, "t al", "middle")
        if self.y_label:
            at = (roof + floor) / 2
            self.parts.append(
                f'<text class="t al" text-anchor="middle" transform="translate(12 {at:.1f}) rotate(-90)">'
                f"{escape(self.y_label)}</text>"
            )

    def render(self) -> str:
        """The <svg> element with its title and description."""
        ident = f"fig-{self.name}"
        return (
            f'<svg class="chart" role="img" aria-labelledby="{ident}-t {ident}-d" '
            f'viewBox="0 0 {self.width:g} {self.height:g}">'
            f'<title id="{ident}-t">{escape(self.title)}</title><desc id="{ident}-d">{escape(self.description)}</desc>'
            + "".join(self.parts)
            + "</svg>"
        )


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
