"""report.md: the same facts as report.html, without plots and pictures, ready for a pull request."""

from __future__ import annotations

import re
from typing import Any

from edgefit_toolkit.report import view
from edgefit_toolkit.report.render import environment
from edgefit_toolkit.report.schema import ReportDoc, validate


def render_markdown(doc: ReportDoc | dict[str, Any]) -> str:
    """GitHub-flavoured Markdown. Raises InputError for a document that is not valid."""
    report = validate(doc)
    context = {
        "doc": report,
        "title": view.title(report),
        "verdict_words": view.verdict_words(report),
        "comparison": view.comparison(report),
        "candidates": view.candidates(report),
        "proof": view.proof(report),
        "attempts": view.attempts(report),
        "floors": view.floors(report.get("quantization", {}).get("guard")),
        "confused": view.confused(report),
        "caution": view.caution(report),
        "most_classes": view.MOST_CLASSES_IN_MATRIX,
        "noun": "photograph" if report["data"]["kind"] == "photographs" else "drawn picture",
    }
    text = environment(html=False).get_template("report.md.j2").render(context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
