"""Measurements, operators' times and the ladder's steps in the fields of the report and of `bench` and `inspect`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.records import Measurement

if TYPE_CHECKING:
    from edgefit_benchmarks.operators import OperatorProfile
    from edgefit_converters.judge.accuracy import Accuracy
    from edgefit_converters.judge.holdout import JudgedStep
    from edgefit_toolkit.report.schema.quantization import GuardAccuracyDoc, LadderStep

MOST_CHANGED = 5  # groups of photographs that a report lists
NOT_A_NUMBER_DB = -99.0  # JSON has no NaN; a model without a finite answer keeps nothing


def measurement_doc(measurement: Measurement) -> dict[str, Any]:
    """One measurement with the statistics derived from its samples."""
    from edgefit_benchmarks.stats import summarise

    summary = summarise(measurement.samples_ms)
    row = asdict(measurement)
    row |= {"p50_ms": summary.p50_ms, "p90_ms": summary.p90_ms, "p99_ms": summary.p99_ms}
    row["samples_ms"] = [round(sample, 4) for sample in measurement.samples_ms]
    row["notes"] = list(measurement.notes)
    return row


def times_doc(model: str, profile: OperatorProfile, target: str) -> dict[str, Any]:
    """report.schema.OperatorTimesDoc of one model on this host; milliseconds of one inference."""
    return {
        "model": model,
        "target": target,
        "origin": "measured on host",
        "threads": profile.threads,
        "runtime": profile.runtime,
        "invoke_ms": round(profile.invoke_ms, 4),
        "rows": [asdict(row) | {"ms": round(row.ms, 5), "kernels": list(row.kernels)} for row in profile.rows],
    }


def ladder_doc(steps: Sequence[JudgedStep]) -> list[LadderStep]:
    """report.schema.LadderStep of each."""
    return [_step_doc(step) for step in steps]


def _step_doc(step: JudgedStep) -> LadderStep:
    doc: LadderStep = {
        "name": step.name,
        "agreement": step.parity.top1,
        "agreement_top5": step.parity.top5,
        "sqnr_db": _db(step.parity.sqnr_db),
        "n": step.parity.n,
        "seconds": round(step.seconds, 1),
        "size_bytes": step.size_bytes,
        "passed": not step.shortfalls,
        "note": step.why,
        "shortfalls": list(step.shortfalls),
    }
    if step.groups:
        worst = sorted(step.groups, key=lambda group: group.p)[:MOST_CHANGED]
        doc["groups"] = len(step.groups)
        doc["most_changed"] = [
            {"words": g.words, "n": g.n, "changed": g.changed, "healthy": round(g.healthy, 2)} for g in worst
        ]
    if step.gain_db is not None and step.gain_top1 is not None:
        doc["gain_db"], doc["gain_agreement"] = _db(step.gain_db), step.gain_top1
    if step.accuracy is not None:
        doc["accuracy"] = _accuracy_doc(step.accuracy)
    return doc


def _accuracy_doc(accuracy: Accuracy) -> GuardAccuracyDoc:
    from edgefit_toolkit.report import derive

    low, high = accuracy.difference_interval
    return {
        "split": "val",
        "int8_top1": derive.score(accuracy.int8_right, accuracy.n),
        "float_top1": derive.score(accuracy.float_right, accuracy.n),
        "difference": accuracy.difference,
        "low": low,
        "high": high,
        "lost": accuracy.lost,
        "won": accuracy.won,
    }


def _db(value: float) -> float:
    return NOT_A_NUMBER_DB if math.isnan(value) else min(max(value, NOT_A_NUMBER_DB), -NOT_A_NUMBER_DB)
