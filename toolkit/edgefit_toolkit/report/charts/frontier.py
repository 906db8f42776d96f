"""Latency against network size: the curve, the budget, the pick."""

from __future__ import annotations

from collections.abc import Sequence

from edgefit_toolkit.report.charts.svg import Chart
from edgefit_toolkit.report.schema.plan import FrontierPoint, PlanDoc, at_percentile
from edgefit_toolkit.report.words import ms


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
    for number, p in enumerate(p for p in points if p.get("released")):
        value, label = p["latency_ms"], str(p["released"]).capitalize()
        chart.dot(p["phi"], value, "m3", f"{label}: {ms(value)}", "diamond", 3.2)
        # neighbours lie close: every other name stands above its mark
        anchor, dx, dy = ("end", -6, -8) if number % 2 else ("start", 8, 12)
        chart.text(p["phi"], value, label, "t halo", anchor, dx=dx, dy=dy)
    return chart.render()


def _frontier_words(plan: PlanDoc, points: Sequence[FrontierPoint]) -> str:
    words = [f"{len(points)} networks; budget {plan['budget_ms']:g} ms."]
    for name, candidate in (("pick", plan["pick"]), ("next", plan["next"])):
        if candidate is not None:
            value = at_percentile(candidate["latency_ms"], plan["percentile"])
            words.append(f"The {name} is phi {candidate['phi']:.3f} at {ms(value)}.")
    return " ".join(words)
