"""Runs side by side: `edgefit report A B ...`, and the flat table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report import view
from edgefit_toolkit.report.plots import at_percentile
from edgefit_toolkit.report.render import environment
from edgefit_toolkit.report.schema import ReportDoc, validate

CSV_HEADER = ("kind", "model", "what", "origin", "unit", "value", "low", "high", "n", "target", "delegate", "threads",
              "runtime", "sha256")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One figure of every run."""

    name: str
    cells: tuple[view.Cell, ...]


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
    lines = [
        Line("Network", tuple(view.Cell(view.name_of(p) if (p := d["plan"]["pick"]) else "none") for d in docs)),
        Line("Verdict", tuple(view.Cell(view.verdict_words(d), origin=d["verdict"]["origin"]) for d in docs)),
        Line("Data", tuple(view.Cell(d["data"]["name"], d["data"]["kind"]) for d in docs)),
    ]
    targets: dict[str, None] = {}
    tables = [{row.name: row for row in view.comparison(d)} for d in docs]
    for table in tables:
        targets |= dict.fromkeys(table)
    for name in targets:
        for column in ("int8", "float", "reference"):
            cells = tuple(getattr(table[name], column) if name in table else view.EMPTY for table in tables)
            if any(cell != view.EMPTY for cell in cells):
                lines.append(Line(f"{name}: {column}", cells))
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


def render_csv(doc: ReportDoc | dict[str, Any]) -> str:
    """One figure a line in fixed units: latencies in ms, accuracies as shares, sizes in bytes (RFC 4180)."""
    report = validate(doc)
    stream = io.StringIO()
    out = csv.DictWriter(stream, CSV_HEADER, restval="", lineterminator="\r\n")
    out.writeheader()
    for row in _csv_rows(report):
        out.writerow(row)
    return stream.getvalue()


def _csv_rows(doc: ReportDoc) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def add(kind: str, model: str, what: str, unit: str, value: float, **more: Any) -> None:
        rows.append({"kind": kind, "model": model, "what": what, "unit": unit, "value": value, **more})

    plan, reference, agreement = doc["plan"], doc["reference"], doc["agreement"]
    if plan["pick"] is not None:
        latency, percentile = plan["pick"]["latency_ms"], plan["percentile"]
        about = {"origin": latency["origin"], "low": latency["low"], "high": latency["high"], "target": plan["device"]}
        add("latency", "int8", f"p{percentile}", "ms", at_percentile(latency, percentile), **about)
    for m in view.timed(doc):
        about = {"origin": m["origin"], "n": len(m["samples_ms"]), "target": m["target"], "delegate": m["delegate"]}
        about |= {"threads": m["threads"], "runtime": m.get("runtime", ""), "sha256": m.get("model_sha256", "")}
        for what, value in (("p50", m["p50_ms"]), ("p90", m["p90_ms"]), ("p99", m["p99_ms"])):
            add("latency", m["model"], what, "ms", value, **about)
    about = {"origin": "measured on host", "target": reference["hardware"], "runtime": f"torch {reference['dtype']}"}
    add("latency", "float torch", "p50", "ms", reference["p50_ms"], **about)
    scores = doc["accuracy"]
    for name, score in (
        ("float_torch", scores["float_torch"]),
        ("float_tflite", scores["float_tflite"]),
        ("int8_tflite", scores["int8_tflite"]),
    ):
        bounds = {"low": score.get("low", ""), "high": score.get("high", ""), "n": score["n"]}
        add("accuracy", name, "top1", "share", score["top1"], **bounds)
    for recall in doc.get("per_class", []):
        bounds = {"low": recall.get("low", ""), "high": recall.get("high", ""), "n": recall["n"]}
        add("recall", "int8_tflite", recall["label"], "share", recall["recall"], **bounds)
    add("agreement", "int8", "top1", "share", agreement["top1"], n=agreement["n"])
    add("agreement", "int8", "sqnr", "dB", agreement["sqnr_db"], n=agreement["n"])
    for name, facts in (("float", doc["models"]["float"]), ("int8", doc["models"]["int8"])):
        add("size", name, "file", "bytes", facts["size_bytes"], sha256=facts["sha256"])
    return rows
