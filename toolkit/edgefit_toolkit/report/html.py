"""report.html: one self-contained page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from edgefit_toolkit.report import view
from edgefit_toolkit.report.charts import accuracy, samples
from edgefit_toolkit.report.charts.frontier import frontier
from edgefit_toolkit.report.charts.training import curves
from edgefit_toolkit.report.render import environment, shared
from edgefit_toolkit.report.schema import ReportDoc, validate
from edgefit_toolkit.report.schema.plan import PlanDoc
from edgefit_toolkit.report.schema.refusal import RefusalDoc
from edgefit_toolkit.report.schema.validation import check
from edgefit_toolkit.report.tables import classes, figures
from edgefit_toolkit.report.tables import plan as plan_table


def render_html(doc: ReportDoc | dict[str, Any]) -> str:
    """The page: no network, every picture inline, no script but the search of a long table.

    Raises InputError for a document that is not valid.
    """
    report = validate(doc)
    plan, training = report["plan"], report.get("training")
    trace = training["trace"] if training else []
    best = training.get("best_epoch") if training else None
    photographs = report["data"]["kind"] == "photographs"
    recalls = classes.weakest(report)
    charts = {
        "frontier": frontier(plan) if plan["pick"] or plan.get("frontier") else "",
        "accuracy": accuracy.accuracy(report["accuracy"]),
        "recall": accuracy.recall(recalls[: classes.WEAKEST]) if recalls else "",
        "reliability": accuracy.reliability(report["reliability"]) if report.get("reliability") else "",
        "loss": curves(trace, "loss", "loss", best) if trace else "",
        "top1": curves(trace, "top1", "top1", best) if trace else "",
    }
    histograms = []
    for i, row in enumerate(figures.timed(report)):
        decides = row["origin"] == "measured on device" or plan["device"] == "host"
        budget = plan["budget_ms"] if decides else None
        histograms.append((row, Markup(samples.histogram(row, f"samples-{i}", budget))))
    context = shared(report) | {
        "charts": {name: Markup(svg) for name, svg in charts.items()},
        "histograms": histograms,
        "operators": classes.operators(report),
        "where": figures.where,
        "slower": samples.slower,
        "recall_left": max(0, len(recalls) - classes.WEAKEST),
        "best_row": view.best_row(report),
        "has_released": any(p.get("released") for p in plan.get("frontier", [])),
        "has_measured": any(p.get("origin", "predicted") != "predicted" for p in plan.get("frontier", [])),
        "frontier_origins": view.frontier_origins(plan),
        "test_noun": "test photograph" if photographs else "drawn test picture",
        "sections": view.sections(report),
    }
    return environment(html=True).get_template("report.html.j2").render(context)


def refusal_html(doc: RefusalDoc | dict[str, Any]) -> str:
    """The page of a run that ended at the guard. Raises InputError for a document that is not valid."""
    refusal = check(doc, RefusalDoc)
    context = {"doc": refusal, "floors": view.floors(refusal.get("guard"))}
    return environment(html=True).get_template("refusal.html.j2").render(context).strip() + "\n"


def render_plan_page(doc: PlanDoc) -> str:
    """A plan as a page of its own, for a notebook: pick beside next, notes, the curve."""
    context = {"plan": doc, "candidates": plan_table.candidates(doc), "chart": Markup(frontier(doc))}
    return environment(html=True).get_template("plan.html.j2").render(context)
