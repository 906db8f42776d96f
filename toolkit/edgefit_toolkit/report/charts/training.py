"""Loss and accuracy over the training trace."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgefit_toolkit.report.charts.svg import Chart
from edgefit_toolkit.report.schema.provenance import EpochDoc


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
