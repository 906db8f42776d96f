"""The benchmark report: one versioned document (schema.py), rendered as JSON, Markdown, HTML and CSV."""

from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.refusal import read_refusal, render_refusal
from edgefit_toolkit.report.schema import SCHEMA, ReportDoc, validate
from edgefit_toolkit.report.side_by_side import render_comparison, render_csv
from edgefit_toolkit.report.write import read_report, write_report

__all__ = [
    "SCHEMA",
    "ReportDoc",
    "read_refusal",
    "read_report",
    "render_comparison",
    "render_csv",
    "render_html",
    "render_markdown",
    "render_refusal",
    "validate",
    "write_report",
]
