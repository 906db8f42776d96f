"""The benchmark report: one versioned document (schema), rendered as JSON, Markdown, HTML and CSV."""

from edgefit_toolkit.report.csv_table import render_csv
from edgefit_toolkit.report.documents import clear_refusal, read_refusal, read_report, write_refusal, write_report
from edgefit_toolkit.report.html import refusal_html, render_html, render_plan_page
from edgefit_toolkit.report.markdown import refusal_markdown, render_markdown
from edgefit_toolkit.report.schema import SCHEMA, ReportDoc, validate
from edgefit_toolkit.report.side_by_side import render_comparison

__all__ = [
    "SCHEMA",
    "ReportDoc",
    "clear_refusal",
    "read_refusal",
    "read_report",
    "refusal_html",
    "refusal_markdown",
    "render_comparison",
    "render_csv",
    "render_html",
    "render_markdown",
    "render_plan_page",
    "validate",
    "write_refusal",
    "write_report",
]
