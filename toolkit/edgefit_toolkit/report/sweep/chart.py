"""Accuracy against latency on one device: what each budget bought, and where the Pareto line runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgefit_toolkit.intervals import wilson
from edgefit_toolkit.report.charts.svg import Chart
from edgefit_toolkit.report.schema.sweep import SweepCellDoc, SweepDeviceDoc
from edgefit_toolkit.report.sweep.steps import finished
from edgefit_toolkit.report.words import interval, ms, percent


@dataclass(frozen=True)
class Point:
    """One budget: means of its seeds."""

    budget_ms: float
    latency_ms: float
    top1: float
    low: float  # 95% interval of the top-1
    high: float
    released: bool
    fits: bool


def points(cells: Sequence[SweepCellDoc], device: str) -> list[Point]:
    """A device's budgets that have a model."""
    found = []
    for budget_ms, row in finished(cells, device).items():
        top1 = sum(cell["top1"] or 0.0 for cell in row) / len(row)
        n = row[0]["n"] or 0
        latency_ms = sum(cell["latency_ms"] or 0.0 for cell in row) / len(row)
        released = all(cell.get("released") for cell in row)
        fits = all(cell["status"] == "fits" for cell in row)
        found.append(Point(budget_ms, latency_ms, top1, *wilson(top1 * n, n), released, fits))
    return found


def pareto(found: Sequence[Point]) -> list[Point]:
    """Those that no other one beats in both latency and top-1, the fastest first."""
    line: list[Point] = []
    for point in sorted(found, key=lambda point: (point.latency_ms, -point.top1)):
        if not line or point.top1 > line[-1].top1:
            line.append(point)
    return line


def sweep(cells: Sequence[SweepCellDoc], device: SweepDeviceDoc) -> str:
    """The chart of one device; empty where no budget has a model."""
    found = points(cells, device["name"])
    if not found:
        return ""
    right = 1.14 * max(point.latency_ms for point in found)
    span = max(0.02, max(p.high for p in found) - min(p.low for p in found))
    low = max(0.0, min(p.low for p in found) - 0.12 * span)
    chart = Chart(
        f"sweep-{device['name']}",
        f"Accuracy against latency on {device['title']}",
        "; ".join(f"{p.budget_ms:g} ms: {percent(p.top1)} ({interval(p.low, p.high)}) at {ms(p.latency_ms)}"
                  for p in found),
        x=(0.0, right),
        y=(low, min(1.0, max(p.high for p in found)) + 0.12 * span),
        x_label="latency, ms",
        y_label="int8 top-1 on test",
        height=300.0,
    )  # fmt: skip
    chart.axes(percent_y=True, y_ticks=_share_ticks(chart.y))
    for known in device["released"]:
        if known["latency_ms"] < right:
            x = known["latency_ms"]
            chart.line([(x, chart.y[0]), (x, chart.y[1])], "mark")
            chart.text(x, chart.y[0], known["name"].capitalize(), "t halo", "middle", dy=-4)
    line = pareto(found)
    if len(line) > 1:
        stairs = [(line[0].latency_ms, line[0].top1)]
        for before, point in pairwise(line):
            stairs += [(point.latency_ms, before.top1), (point.latency_ms, point.top1)]
        chart.line(stairs, "l1")
    for p in found:
        css, shape = ("m2", "square") if not p.fits else ("m3", "diamond") if p.released else ("m1", "circle")
        chart.line([(p.latency_ms, p.low), (p.latency_ms, p.high)], f"whisker {css}w")
        tip = f"{p.budget_ms:g} ms: {percent(p.top1)} ({interval(p.low, p.high)}) at {ms(p.latency_ms)}"
        chart.dot(p.latency_ms, p.top1, css, tip, shape, 5.0)
    for latency_ms in dict.fromkeys(p.latency_ms for p in found):  # budgets of one network share their dot
        here = [p for p in found if p.latency_ms == latency_ms]
        label = ", ".join(f"{p.budget_ms:g}" for p in here) + " ms"
        top = max(p.high for p in here)
        chart.text(latency_ms, top, label, "t strong halo", "middle", dy=-5)
    return chart.render()


def _share_ticks(y: tuple[float, float]) -> list[float]:
    """Whole percentages, at most seven."""
    step = next(step for step in (1, 2, 5, 10, 20, 25, 50) if (min(y[1], 1.0) - y[0]) * 100 / step <= 7)
    return [share / 100 for share in range(0, 101, step) if y[0] <= share / 100 <= y[1]]
