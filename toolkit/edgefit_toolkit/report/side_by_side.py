"""Runs side by side: `edgefit report A B ...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report import view, words
from edgefit_toolkit.report.render import environment
from edgefit_toolkit.report.schema import ReportDoc, validate
from edgefit_toolkit.report.tables import EMPTY, Cell, figures

Line = tuple[str, tuple[Cell, ...]]  # one figure of every run: its name, a cell each


def render_comparison(
    docs: Sequence[ReportDoc | dict[str, Any]],
    names: Sequence[str] | None = None,
    *,
    html: bool = False,
) -> str:
    """Two or more runs in one table, one column each; `names` head the columns (default: A, B, ...).

    Raises InputError for fewer than two documents, or one that is not valid.
    """
    if len(docs) < 2:
        raise InputError(f"{len(docs)} run to compare; at least two are needed", "edgefit report RUN_A RUN_B")
    reports = [validate(doc) for doc in docs]
    heads = list(names) if names is not None else [chr(65 + i % 26) for i in range(len(reports))]
    if len(heads) != len(reports):
        raise InputError(f"{len(heads)} names for {len(reports)} runs")
    context = {"heads": heads, "lines": _lines(reports), "cautions": _cautions(reports)}
    template = environment(html=html).get_template("compare.html.j2" if html else "compare.md.j2")
    return template.render(context)


def _lines(docs: list[ReportDoc]) -> list[Line]:
    lines: list[Line] = [
        ("Network", tuple(Cell(words.name_of(p) if (p := d["plan"]["pick"]) else "none") for d in docs)),
        ("Verdict", tuple(Cell(view.verdict_words(d), origin=d["verdict"]["origin"]) for d in docs)),
        ("Data", tuple(Cell(d["data"]["name"], d["data"]["kind"]) for d in docs)),
    ]
    targets: dict[str, None] = {}
    tables = [{figure.name: figure for figure in figures.figures(d)} for d in docs]
    for table in tables:
        targets |= dict.fromkeys(table)
    for name in targets:
        for column in figures.COLUMNS[1:]:
            cells = tuple(column.of(table[name]) if name in table else EMPTY for table in tables)
            if any(cell != EMPTY for cell in cells):
                lines.append((f"{name}: {column.short or column.title}", cells))
    return lines


def _cautions(docs: list[ReportDoc]) -> list[str]:
    found = []
    if len({(d["data"]["name"], d["accuracy"]["int8_tflite"]["n"]) for d in docs}) > 1:
        found.append("The runs were tested on different pictures: their accuracies are not comparable.")
    if len({d["data"]["kind"] for d in docs}) > 1:
        found.append("Some runs saw drawn pictures, others photographs.")
    if len({d["plan"]["device"] for d in docs}) > 1:
        found.append("The runs were made for different devices.")
    hosts = {d["environment"]["cpu"] for d in docs if "environment" in d}
    if len(hosts) > 1:
        found.append("The host latencies come from different computers: they are not comparable.")
    return found
