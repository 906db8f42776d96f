"""The Jinja environment that both renderings share."""

from __future__ import annotations

from typing import Any

import jinja2

from edgefit_toolkit.report import words


def environment(*, html: bool) -> jinja2.Environment:
    """Templates of this package with the number filters; HTML is escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("edgefit_toolkit.report", "templates"),
        autoescape=html,
        undefined=jinja2.ChainableUndefined,
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
    }
    return made


def _cell(value: Any) -> str:
    """Text inside a Markdown table: no pipe, no line break, no tag."""
    text = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(text.split())
