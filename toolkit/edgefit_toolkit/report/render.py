"""What both renderings share: the Jinja environment, and the facts and tables that both show."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup

from edgefit_toolkit.progress import plain_lines
from edgefit_toolkit.report import rollup, view, words
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.tables import EMPTY, classes, figures, plan, taxonomy


def environment(*, html: bool) -> jinja2.Environment:
    """Templates of this package with the number filters; HTML is escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("edgefit_toolkit.report", "templates"),
        autoescape=html,
        undefined=jinja2.ChainableUndefined,
        finalize=_plain if html else lambda value: _no_tag(_plain(value)),
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "ms": words.ms,
        "number": words.number,
        "percent": words.percent,
        "points": words.points,
        "size": words.size,
        "millions": words.millions,
        "shape": words.shape,
        "seconds": words.seconds,
        "plural": words.plural,
        "when": words.when,
        "cell": _cell,
    }
    made.globals |= {
        "interval": words.interval,
        "origin_class": words.ORIGIN_CLASS,
        "origin_meaning": words.ORIGIN_MEANING,
        "empty": EMPTY,
    }
    return made


def shared(doc: ReportDoc) -> dict[str, Any]:
    """The names that both report templates know."""
    return {
        "doc": doc,
        "title": view.title(doc),
        "verdict_words": view.verdict_words(doc),
        "caution": view.caution(doc),
        "attempts": view.attempts(doc),
        "places": rollup.places_sentence(doc["places"]) if "places" in doc else "",
        "none_of_these": view.none_of_these(doc["other"]) if "other" in doc else "",
        "floors": view.floors(doc.get("quantization", {}).get("guard")),
        "comparison": figures.table(doc),
        "candidates": plan.candidates(doc["plan"]),
        "proof": plan.proof(doc["plan"]),
        "recall": classes.recall(doc),
        "shots": classes.shots(doc),
        "ranks": taxonomy.ranks(doc),
        "precisions": taxonomy.curve(doc),
        "untested": classes.untested(doc),
        "confused": classes.confused(doc),
        "weakest": classes.WEAKEST,
        "most_in_matrix": classes.MOST_IN_MATRIX,
        "noun": "photograph" if doc["data"]["kind"] == "photographs" else "drawn picture",
    }


def _plain(value: Any) -> Any:
    """What other people named cannot steer the terminal that a report is printed on, nor turn its text around."""
    return type(value)(plain_lines(value)) if isinstance(value, (str, Markup)) else value


def _no_tag(value: Any) -> Any:
    """Markdown passes tags on to whatever shows it."""
    return value.replace("<", "&lt;") if isinstance(value, str) else value


def _cell(value: Any) -> str:
    """Text inside a Markdown table: no pipe, no line break."""
    text = str(value).replace("\\", "\\\\").replace("|", "\\|")
    return " ".join(text.split())
