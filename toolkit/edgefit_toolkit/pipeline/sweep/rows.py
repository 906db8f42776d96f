"""A cell's row in the sweep's document, read from the report of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgefit_toolkit.intervals import wilson
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.pipeline.sweep.grid import Cell
from edgefit_toolkit.pipeline.sweep.work import Failure
from edgefit_toolkit.report.documents import read_report
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.schema.sweep import SweepCellDoc


def waiting(cell: Cell, plan: Plan | None) -> SweepCellDoc:
    """The row of a cell that has not been made."""
    variant = plan.pick.variant if plan else None
    return {
        "device": cell.settings.device, "budget_ms": cell.settings.budget_ms, "seed": cell.settings.seed,
        "network": variant.label if variant else None, "phi": variant.phi if variant else None,
        "released": variant.released if variant else None, "status": "waiting",
        "latency_ms": None, "origin": None, "top1": None, "n": None, "low": None, "high": None,
        "run": f"cells/{cell.name}",
    }  # fmt: skip


def failed(cell: Cell, plan: Plan | None, failure: Failure, run: str) -> SweepCellDoc:
    """The row of a cell that has no model; `run` is where it fell."""
    row = waiting(cell, plan)
    row |= {
        "status": "failed", "run": run, "reason": failure.message, "next": failure.hint, "exit_code": failure.exit_code,
    }  # fmt: skip
    return row


def made(cell: Cell, run_dir: Path) -> SweepCellDoc:
    """The row of a finished run. Raises InputError where its report is none."""
    doc = read_report(run_dir)
    verdict, pick = doc["verdict"], doc["plan"]["pick"]
    assert pick is not None  # of every run that trained
    int8 = doc["accuracy"]["int8_tflite"]
    low, high = wilson(int8["top1"] * int8["n"], int8["n"])
    latency_low_ms, latency_high_ms = _around(doc)
    return {
        "device": cell.settings.device, "budget_ms": cell.settings.budget_ms, "seed": cell.settings.seed,
        "network": pick["label"], "phi": pick["phi"], "released": pick["released"],
        "status": "fits" if verdict["fits"] else "misses",
        "latency_ms": verdict["latency_ms"], "origin": verdict["origin"],
        "latency_low_ms": latency_low_ms, "latency_high_ms": latency_high_ms,
        "top1": int8["top1"], "n": int8["n"], "low": low, "high": high,
        "float_top1": doc["accuracy"]["float_torch"]["top1"], "agreement": doc["agreement"]["top1"],
        "size_bytes": doc["models"]["int8"]["size_bytes"], "run": f"cells/{cell.name}",
        "exit_code": 0 if verdict["fits"] else 1,
    }  # fmt: skip


def right_answers(run_dir: Path) -> list[bool]:
    """Which test pictures the int8 model of a finished run got right, in the order of the split."""
    answers = np.load(run_dir / "answers.npz")
    found: list[bool] = (answers["int8_tflite"].argmax(1) == answers["truth"]).tolist()
    return found


def _around(doc: ReportDoc) -> tuple[float, float]:
    """The interval of the verdict's latency, ms: 80% of a prediction, 95% of a measurement."""
    verdict: Any = doc["verdict"]
    pick = doc["plan"]["pick"]
    assert pick is not None
    if verdict["origin"] == "predicted":
        return pick["latency_ms"]["low"], pick["latency_ms"]["high"]
    from edgefit_benchmarks.stats import quantile_interval

    rows = doc["measurements"]
    samples = next(row["samples_ms"] for row in rows if row["model"] == "int8" and row["origin"] == verdict["origin"])
    return quantile_interval(tuple(samples), doc["plan"]["percentile"] / 100)
