"""report.html: one self-contained page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from edgefit_toolkit.report import plots, view
from edgefit_toolkit.report.render import environment
from edgefit_toolkit.report.schema import ReportDoc, validate

MOST_RECALL_ROWS = 24


def render_html(doc: ReportDoc | dict[str, Any]) -> str:
    """The page: no scripts, no network, every picture inline. Raises InputError for a document that is not valid."""
    report = validate(doc)
    plan, training = report["plan"], report.get("training")
    trace = training["trace"] if training else []
    best = training.get("best_epoch") if training else None
    photographs = report["data"]["kind"] == "photographs"
    recalls = sorted(report.get("per_class", []), key=lambda row: row["recall"])
    charts = {
        "frontier": plots.frontier(plan) if plan["pick"] or plan.get("frontier") else "",
        "accuracy": plots.accuracy(report["accuracy"]),
        "recall": plots.recall(recalls[:MOST_RECALL_ROWS]) if recalls else "",
        "reliability": plots.reliability(report["reliability"]) if report.get("reliability") else "",
        "loss": plots.curves(trace, "loss", "loss", best) if trace else "",
        "top1": plots.curves(trace, "top1", "top1", best) if trace else "",
    }
    histograms = []
    for i, row in enumerate(view.timed(report)):
        decides = row["origin"] == "measured on device" or plan["device"] == "host"
        budget = plan["budget_ms"] if decides else None
        histograms.append((row, Markup(plots.histogram(row, f"samples-{i}", budget))))
    context = {
        "doc": report,
        "title": view.title(report),
        "verdict_words": view.verdict_words(report),
        "charts": {name: Markup(svg) for name, svg in charts.items()},
        "histograms": histograms,
        "comparison": view.comparison(report),
        "candidates": view.candidates(report),
        "proof": view.proof(report),
        "attempts": view.attempts(report),
        "floors": view.floors(report.get("quantization", {}).get("guard")),
        "confused": view.confused(report),
        "operators": view.operators(report),
        "caution": view.caution(report),
        "where": view.where,
        "slower": plots.slower,
        "most_classes": view.MOST_CLASSES_IN_MATRIX,
        "recall_left": max(0, len(recalls) - MOST_RECALL_ROWS),
        "best_row": view.best_row(report),
        "has_released": any(p.get("released") for p in plan.get("frontier", [])),
        "has_measured": any(p.get("origin", "predicted") != "predicted" for p in plan.get("frontier", [])),
        "frontier_origins": view.frontier_origins(plan),
        "noun": "photograph" if photographs else "drawn picture",
        "test_noun": "test photograph" if photographs else "drawn test picture",
        "sections": view.sections(report),
    }
    return environment(html=True).get_template("report.html.j2").render(context)
