"""Shares with their intervals: accuracy, recall per class, reliability."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgefit_toolkit.report.charts.svg import Chart, ticks
from edgefit_toolkit.report.schema.results import AccuracyDoc, RecallDoc, ReliabilityDoc
from edgefit_toolkit.report.words import interval, percent


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
        shown = label if len(label) <= 20 else f"{label[:10]}…{label[-9:]}"  # species of one genus differ at the end
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
