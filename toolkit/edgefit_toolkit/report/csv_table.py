"""One run as a flat table for spreadsheets: one figure a line, in fixed units."""

from __future__ import annotations

import csv
import io
from typing import Any

from edgefit_toolkit.progress import plain
from edgefit_toolkit.report.schema import ReportDoc, validate
from edgefit_toolkit.report.schema.plan import at_percentile
from edgefit_toolkit.report.tables.figures import timed

CSV_HEADER = ("kind", "model", "what", "origin", "unit", "value", "low", "high", "n", "target", "delegate", "threads",
              "runtime", "sha256")  # fmt: skip


def render_csv(doc: ReportDoc | dict[str, Any]) -> str:
    """One figure a line in fixed units: latencies in ms, accuracies as shares, sizes in bytes (RFC 4180)."""
    report = validate(doc)
    stream = io.StringIO()
    out = csv.DictWriter(stream, CSV_HEADER, restval="", lineterminator="\r\n")
    out.writeheader()
    for row in _csv_rows(report):
        out.writerow({name: _text(value) if isinstance(value, str) else value for name, value in row.items()})
    return stream.getvalue()


def _text(value: str) -> str:
    """A name as text: a spreadsheet would take one that begins like a formula for one (OWASP, CSV injection)."""
    shown = plain(value)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@", "\t") else shown


def _csv_rows(doc: ReportDoc) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def add(kind: str, model: str, what: str, unit: str, value: float, **more: Any) -> None:
        rows.append({"kind": kind, "model": model, "what": what, "unit": unit, "value": value, **more})

    plan, reference, agreement = doc["plan"], doc["reference"], doc["agreement"]
    if plan["pick"] is not None:
        latency, percentile = plan["pick"]["latency_ms"], plan["percentile"]
        about = {"origin": latency["origin"], "low": latency["low"], "high": latency["high"], "target": plan["device"]}
        add("latency", "int8", f"p{percentile}", "ms", at_percentile(latency, percentile), **about)
    for m in timed(doc):
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
    if "balance" in doc:
        balance = doc["balance"]
        mean = balance["mean_recall"]
        add("accuracy", "int8_tflite", "top1 mean over classes", "share", mean, n=balance["classes"])
        for shots in balance.get("shots", []):
            what = f"top1 mean over {shots['name']}-shot classes"
            add("accuracy", "int8_tflite", what, "share", shots["mean_recall"], n=shots["classes"])
    for recall in doc.get("per_class", []):
        bounds = {"low": recall.get("low", ""), "high": recall.get("high", ""), "n": recall["n"]}
        add("recall", "int8_tflite", recall["label"], "share", recall["recall"], **bounds)
    add("agreement", "int8", "top1", "share", agreement["top1"], n=agreement["n"])
    add("agreement", "int8", "sqnr", "dB", agreement["sqnr_db"], n=agreement["n"])
    for name, facts in (("float", doc["models"]["float"]), ("int8", doc["models"]["int8"])):
        add("size", name, "file", "bytes", facts["size_bytes"], sha256=facts["sha256"])
    return rows
