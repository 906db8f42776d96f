"""report.md: the same facts as report.html, without plots and pictures, ready for a pull request."""

from __future__ import annotations

import re
from typing import Any

from edgefit_toolkit.report import view
from edgefit_toolkit.report.render import environment, shared
from edgefit_toolkit.report.schema import ReportDoc, validate
from edgefit_toolkit.report.schema.refusal import RefusalDoc
from edgefit_toolkit.report.schema.validation import check


def render_markdown(doc: ReportDoc | dict[str, Any]) -> str:
    """GitHub-flavoured Markdown. Raises InputError for a document that is not valid."""
    text = environment(html=False).get_template("report.md.j2").render(shared(validate(doc)))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def refusal_markdown(doc: RefusalDoc | dict[str, Any]) -> str:
    """The same of a run that ended at the guard."""
    refusal = check(doc, RefusalDoc)
    context = {"doc": refusal, "floors": view.floors(refusal.get("guard"))}
    return environment(html=False).get_template("refusal.md.j2").render(context).strip() + "\n"
