"""sweep.html and sweep.md: the same sentences and tables, the charts in the page."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from edgefit_toolkit.report.render import environment
from edgefit_toolkit.report.schema.sweep import SweepDoc
from edgefit_toolkit.report.schema.validation import check
from edgefit_toolkit.report.sweep import chart, tables


def sweep_html(doc: SweepDoc | dict[str, Any]) -> str:
    """One self-contained page. Raises InputError for a document that is not valid."""
    sweep = check(doc, SweepDoc)
    charts = [(device, Markup(chart.sweep(sweep["cells"], device))) for device in sweep["devices"]]
    shown = _shared(sweep) | {"charts": charts}
    return environment(html=True).get_template("sweep.html.j2").render(shown).strip() + "\n"


def sweep_markdown(doc: SweepDoc | dict[str, Any]) -> str:
    """GitHub-flavoured Markdown. Raises InputError for a document that is not valid."""
    text = environment(html=False).get_template("sweep.md.j2").render(_shared(check(doc, SweepDoc)))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _shared(doc: SweepDoc) -> dict[str, Any]:
    found = doc["cells"]
    return {
        "doc": doc,
        "title": f"What each millisecond buys: {doc['data']['name']}",
        "cells": tables.cells(doc),
        "fleet": tables.fleet(doc),
        "failed": sum(cell["status"] == "failed" for cell in found),
        "origins": sorted({cell["origin"] for cell in found if cell["origin"]}),
        "missed": any(cell["status"] == "misses" for cell in found),
        "picked": any(cell.get("released") for cell in found),
    }
