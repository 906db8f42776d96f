"""The texts of a bundle: model card and read-me."""

from __future__ import annotations

from typing import Any

import jinja2

from edgefit_toolkit.app.source import Source
from edgefit_toolkit.report import view, words
from edgefit_toolkit.report.tables import classes, figures


def model_card(source: Source, model_sha256: str, model_bytes: int) -> str:
    """MODEL_CARD.md: what it is for, what it learnt from, how good it is, how fast and how that is known, limits."""
    return _render("MODEL_CARD.md.j2", source, model_sha256=model_sha256, model_bytes=model_bytes)


def read_me(source: Source, apps: tuple[str, ...]) -> str:
    """README.md of the bundle."""
    return _render("README.md.j2", source, apps=apps)


def _render(template: str, source: Source, **more: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgefit_toolkit.app", "templates"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent, "ms": words.ms, "size": words.size, "plural": words.plural}
    doc = source.report
    rows = [(row.name, row.cells["int8"]) for row in figures.latencies(doc) if "int8" in row.cells]
    pick = doc["plan"]["pick"]
    context = {
        "doc": doc,
        "source": source,
        "name": words.name_of(pick) if pick else "EfficientNet",
        "photographs": doc["data"]["kind"] == "photographs",
        "latencies": rows,
        "weakest": classes.weakest(doc)[:5],
        "interval": words.interval,
        "ece": doc.get("reliability", {}).get("ece"),
        "weights": doc.get("weights"),
        "credits": doc["data"].get("credits", []),
        "license": doc["data"].get("license", ""),
        "notes": doc["data"].get("notes", []),
        "caution": view.caution(doc),
        **more,
    }
    return environment.get_template(template).render(context)
