"""The report's charts, each from its part of the document to one <svg>. No chart shows a figure that the page's tables
do not also say in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgefit_toolkit.report.schema import (
    AccuracyDoc,
    EpochDoc,
    FrontierPoint,
    LatencyDoc,
    MeasurementDoc,
    PlanDoc,
    RecallDoc,
    ReliabilityDoc,
)
from edgefit_toolkit.report.svg import Chart, text_of, ticks
from edgefit_toolkit.report.words import interval, ms, percent

BINS = 28


def at_percentile(latency: LatencyDoc, percentile: int) -> float:
    """The figure that a budget of this percentile is compared with, in ms."""
    return latency["p50"] if percentile <= 50 else latency["p90"]


def frontier(plan: PlanDoc, name: str = "frontier") -> str:
    """Latency against phi: the curve with its interval, the budget, released networks, pick and next."""
    percentile, budget = plan["percentile"], plan["budget_ms"]
    chosen = [c for c in (plan["pick"], plan["next"]) if c is not None]
    points = sorted(plan.get("frontier", []), key=lambda p: p["phi"])
    window = 2.4 * max([budget, *(at_percentile(c["latency_ms"], percentile) for c in chosen)])
    near = [p for p in points if p["latency_ms"] <= window]
    points = near if len(near) >= 4 else points
    phis = [p["phi"] for p in points] + [c["phi"] for c in chosen]
    highs = [p["high_ms"] for p in points] + [c["latency_ms"]["high"] for c in chosen]
    pad = 0.06 * (max(phis) - min(phis)) or 0.5
    chart = Chart(
        name,
        "Latency against phi",
        _frontier_words(plan, points),
        x=(min(phis) - pad, max(phis) + 1.6 * pad),
        y=(0.0, 1.12 * max([budget, *highs])),
        x_label="compound coefficient φ (larger network →)",
        y_label=f"p{percentile} latency, ms",
        height=270.0,
    )
    chart.axes()
    predicted = [p for p in points if p.get("origin", "predicted") == "predicted"]
    curve = [p for p in predicted if not p.get("released")] or predicted
    if len(curve) > 1:
        high = [(p["phi"], p["high_ms"]) for p in curve]
        low = [(p["phi"], p["low_ms"]) for p in reversed(curve)]
        chart.area([*high, *low], "band")
        chart.line([(p["phi"], p["latency_ms"]) for p in curve], "l1")
    chart.line([(chart.x[0], budget), (chart.x[1], budget)], "budget")
    chart.text(chart.x[0], budget, f"budget {budget:g} ms", "t strong", dx=5, dy=-5)
    for p in points:
        if p.get("origin", "predicted") != "predicted":
            tip = f"φ {p['phi']:.3f}: {ms(p['latency_ms'])} {p['origin']}"
            chart.line([(p["phi"], p["low_ms"]), (p["phi"], p["high_ms"])], "whisker m4w")
            chart.dot(p["phi"], p["latency_ms"], "m4", tip, "triangle", 3.6)
    roof = chart.y[1]
    for candidate, css, shape, word, anchor in (
        (plan["next"], "m2", "square", "next", "start"),
        (plan["pick"], "m1", "circle", "pick", "end"),
    ):
        if candidate is None:
            continue
        latency = candidate["latency_ms"]
        value = at_percentile(latency, percentile)
        chart.line([(candidate["phi"], latency["high"]), (candidate["phi"], roof)], "mark")
        chart.line([(candidate["phi"], latency["low"]), (candidate["phi"], latency["high"])], f"whisker {css}w")
        chart.dot(candidate["phi"], value, css, f"{word}: φ {candidate['phi']:.3f}, {ms(value)}", shape, 6.5)
        side = -5 if anchor == "end" else 5
        chart.text(candidate["phi"], roof, f"{word} φ {candidate['phi']:.2f}", "t strong halo", anchor, dx=side, dy=10)
    for p in points:
        if p.get("released"):
            value, label = p["latency_ms"], str(p["released"]).capitalize()
            chart.dot(p["phi"], value, "m3", f"{label}: {ms(value)}", "diamond", 3.2)
            chart.text(p["phi"], value, label, "t halo", dx=8, dy=12)
    return chart.render()


def _frontier_words(plan: PlanDoc, points: Sequence[FrontierPoint]) -> str:
    words = [f"{len(points)} networks; budget {plan['budget_ms']:g} ms."]
    for name, candidate in (("pick", plan["pick"]), ("next", plan["next"])):
        if candidate is not None:
            value = at_percentile(candidate["latency_ms"], plan["percentile"])
            words.append(f"The {name} is phi {candidate['phi']:.3f} at {ms(value)}.")
    return " ".join(words)


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


def intervals(rows: Sequence[tuple[str, float, float, float, str]], name: str, title: str) -> str:
    """Shares with their intervals: (label, share, low, high, css of the mark), one line each."""
    lowest = min([low for _, _, low, _, _ in rows] or [0.0])
    floor = max(0.0, math.floor((lowest - 0.02) * 10) / 10)
    longest = max(len(label) for label, *_ in rows)
    chart = Chart(
        name,
        title,
        "; ".join(f"{label} {percent(share)}, {interval(low, high)}" for label, share, low, high, _ in rows),
        x=(floor, 1.0),
        y=(0.0, float(len(rows))),
        x_label="share of test pictures, with 95% interval",
        height=24.0 * len(rows) + 60.0,
        left=min(150.0, 16.0 + 6.6 * min(longest, 20)),
        right=66.0,
    )
    marks = ticks(floor, 1.0, 5)
    chart.axes(x_ticks=marks, y_ticks=[], x_text={t: f"{100 * t:.0f}%" for t in marks})
    for i, (label, share, low, high, css) in enumerate(rows):
        y = len(rows) - i - 0.5
        chart.line([(low, y), (high, y)], f"whisker {css}w")
        chart.dot(share, y, css, f"{label}: {percent(share)} ({interval(low, high)})")
        shown = label if len(label) <= 20 else label[:19] + "…"
        chart.raw_text(chart.left - 8, chart.py(y) + 4, shown, "t", "end")
        chart.raw_text(chart.width - 4, chart.py(y) + 4, percent(share), "t strong", "end")
    return chart.render()


def accuracy(doc: AccuracyDoc, name: str = "accuracy") -> str:
    """Test accuracy of the three networks with Wilson intervals."""
    names = {"int8_tflite": ("int8 .tflite", "m1"), "float_tflite": ("float .tflite", "m2"),
             "float_torch": ("float torch", "m3")}  # fmt: skip
    rows = []
    for key, (label, css) in names.items():
        score = doc[key]  # type: ignore[literal-required]
        rows.append((label, score["top1"], score.get("low", score["top1"]), score.get("high", score["top1"]), css))
    return intervals(rows, name, "Test accuracy")


def recall(rows: Sequence[RecallDoc], name: str = "recall") -> str:
    """Per-class recall of int8, the weakest class first."""
    ordered = sorted(rows, key=lambda row: row["recall"])
    return intervals(
        [(r["label"], r["recall"], r.get("low", r["recall"]), r.get("high", r["recall"]), "m1") for r in ordered],
        name,
        "Recall per class, int8",
    )


def reliability(doc: ReliabilityDoc, name: str = "reliability") -> str:
    """Accuracy against confidence; on the diagonal the model is exactly as sure as it should be."""
    chart = Chart(
        name,
        "Confidence against accuracy, int8",
        "; ".join(
            f"confidence {percent(b['confidence'], 0)}: {percent(b['accuracy'], 0)} right of {b['n']}"
            for b in doc["bins"]
        ),
        x=(0.0, 1.0),
        y=(0.0, 1.0),
        x_label="confidence of the first answer",
        y_label="share that is right",
        height=310.0,
        right=24.0,
    )
    steps = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    chart.axes(steps, steps, {t: f"{100 * t:.0f}%" for t in steps}, percent_y=True)
    chart.line([(0, 0), (1, 1)], "mark")
    most = max([b["n"] for b in doc["bins"]] or [1])
    if len(doc["bins"]) > 1:
        chart.line([(b["confidence"], b["accuracy"]) for b in doc["bins"]], "l1")
    for b in doc["bins"]:
        tip = f"{b['n']} pictures: confidence {percent(b['confidence'])}, right {percent(b['accuracy'])}"
        chart.dot(b["confidence"], b["accuracy"], "m1", tip, size=3 + 6 * math.sqrt(b["n"] / most))
    threshold = doc.get("threshold")
    if threshold is not None:
        chart.line([(threshold, 0), (threshold, 1)], "budget")
        chart.text(threshold, 0.0, "not sure below", "t halo", "end" if threshold > 0.3 else "start", -4, -6)
    return chart.render()


def curves(trace: Sequence[EpochDoc], what: str, name: str, best: int | None = None) -> str:
    """Loss or accuracy over the training trace, train dashed and val solid; phases are set apart by a rule."""
    loss = what == "loss"
    keys = ("train_loss", "val_loss") if loss else ("train_top1", "val_top1")
    train, val = ([float(e[k]) for e in trace] for k in keys)  # type: ignore[literal-required]
    both = [*train, *val]
    low = 0.0 if loss else max(0.0, min(both) - 0.05)
    high = 1.08 * max(both) if loss else min(1.0, max(both) + 0.03)
    chart = Chart(
        name,
        "Training loss" if loss else "Training accuracy",
        f"{len(trace)} epochs; last on val: {val[-1]:.3f}, best {min(val) if loss else max(val):.3f}.",
        x=(0.5, len(trace) + 0.5),
        y=(low, max(high, low + 1e-3)),
        x_label="epoch",
        y_label="loss" if loss else "top-1",
        height=230.0,
    )
    places = list(range(1, len(trace) + 1))
    step = max(1, math.ceil(len(trace) / 10))
    shown = [float(i) for i in places[::step]]
    chart.axes(shown, None, {float(i): str(trace[i - 1]["epoch"]) for i in places}, percent_y=not loss)
    for i in range(1, len(trace)):
        if trace[i]["phase"] != trace[i - 1]["phase"]:
            chart.line([(i + 0.5, chart.y[0]), (i + 0.5, chart.y[1])], "mark")
            chart.text(i + 0.5, chart.y[1], trace[i]["phase"], "t halo", dx=4, dy=11)
    for values, css, mark in ((train, "l2", "m2"), (val, "l1", "m1")):
        points = list(zip(map(float, places), values, strict=True))
        chart.line(points, css)
        if len(points) == 1:
            chart.dot(*points[0], mark)
    for i in places:
        if best is not None and trace[i - 1]["epoch"] == best and (i == len(trace) or trace[i]["epoch"] != best):
            chart.dot(i, val[i - 1], "m1", f"best: epoch {best}, {val[i - 1]:.3f}", size=5)
    return chart.render()
