"""Raw latency samples as a histogram."""

from __future__ import annotations

import math

from edgefit_toolkit.report.charts.svg import Chart, text_of, ticks
from edgefit_toolkit.report.schema.results import MeasurementDoc
from edgefit_toolkit.report.words import ms

BINS = 28


def histogram(row: MeasurementDoc, name: str, budget_ms: float | None = None) -> str:
    """Raw samples of one measurement; a last bar collects what lies beyond the window."""
    samples = sorted(row["samples_ms"])
    low, high = _window(row)
    width = (high - low) / BINS
    counts = [0] * BINS
    for sample in samples:
        counts[max(0, min(int((sample - low) / width), BINS - 1))] += 1
    beyond = sum(sample > high for sample in samples)
    chart = Chart(
        name,
        f"Latency samples: {row['model']} on {row['target']}",
        f"{len(samples)} samples, p50 {ms(row['p50_ms'])}, p90 {ms(row['p90_ms'])}, p99 {ms(row['p99_ms'])}, "
        f"{row['origin']}; {beyond} beyond the plot.",
        x=(low, high),
        y=(0.0, 1.25 * max(counts)),
        x_label="ms per inference",
        y_label="samples",
        height=210.0,
    )
    chart.axes(y_ticks=[t for t in ticks(0, max(counts), 4) if t == int(t)])
    css = "b1" if row["model"] == "int8" else "b2"
    for i, count in enumerate(counts):
        if count:
            left = low + i * width
            tip = f"{text_of(round(left, 3))} to {text_of(round(left + width, 3))} ms: {count}"
            chart.rect(left, 0, left + width * 0.92, count, css, tip)
    placed = -math.inf
    for word, value in (("p50", row["p50_ms"]), ("p90", row["p90_ms"]), ("p99", row["p99_ms"])):
        if low <= value <= high:
            chart.line([(value, 0), (value, chart.y[1])], "mark")
            at = chart.px(value)
            side = "start" if at < chart.width - 45 else "end"
            clear = at - placed > (26 if side == "start" else 54)
            placed = at
            chart.text(value, chart.y[1], word, "t halo", side, dx=3 if side == "start" else -3, dy=10 if clear else 24)
    if budget_ms is not None and low <= budget_ms <= high:
        chart.line([(budget_ms, 0), (budget_ms, chart.y[1])], "budget")
        chart.text(budget_ms, chart.y[1], "budget", "t strong halo", "end", dx=-3, dy=10)
    return chart.render()


def slower(row: MeasurementDoc) -> str:
    """What the histogram's last bar hides, in words; empty when nothing lies beyond."""
    high = _window(row)[1]
    beyond = sum(sample > high for sample in row["samples_ms"])
    if not beyond:
        return ""
    return f"Last bar: {beyond} slower than the plot's {ms(high)}, the slowest {ms(max(row['samples_ms']))}."


def _window(row: MeasurementDoc) -> tuple[float, float]:
    """The plot's range in ms: nearly all samples, and the p90 always."""
    samples = sorted(row["samples_ms"])
    low = samples[0]
    reach = samples[min(len(samples) - 1, math.floor(0.98 * len(samples)))]
    high = max(reach, row["p90_ms"] * 1.05, low * 1.02, low + 1e-6)
    pad = 0.04 * (high - low)
    return low - pad, high + pad
