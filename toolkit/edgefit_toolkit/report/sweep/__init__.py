"""The sweep's report: what each budget buys, said from counted pictures, as HTML and Markdown."""

from edgefit_toolkit.report.sweep.pages import sweep_html, sweep_markdown
from edgefit_toolkit.report.sweep.steps import sentence, steps

__all__ = ["sentence", "steps", "sweep_html", "sweep_markdown"]
