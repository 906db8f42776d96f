"""Measurements as the report's document, `edgefit bench` and `edgefit inspect` carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.records import Measurement

if TYPE_CHECKING:
    from edgefit_benchmarks.operators import OperatorProfile


def measurement_doc(measurement: Measurement) -> dict[str, Any]:
    """One measurement with the statistics derived from its samples."""
    from edgefit_benchmarks.stats import summarise

    summary = summarise(measurement.samples_ms)
    row = asdict(measurement)
    row |= {"p50_ms": summary.p50_ms, "p90_ms": summary.p90_ms, "p99_ms": summary.p99_ms}
    row["samples_ms"] = [round(sample, 4) for sample in measurement.samples_ms]
    row["notes"] = list(measurement.notes)
    return row


def profile_models(models: Mapping[str, Path], threads: int) -> tuple[dict[str, OperatorProfile], list[str]]:
    """The profile of every model that the profiler could take, and a warning for each that it could not.

    Times per operator explain a latency and are none themselves: a job never ends for want of them.
    """
    from edgefit_benchmarks.operators import profile_operators

    profiles: dict[str, OperatorProfile] = {}
    warnings: list[str] = []
    for name, path in models.items():
        try:
            found = profile_operators(path, threads)
        except EdgefitError as error:
            warnings.append(f"no time per operator for {name}: {error.message}")
            continue
        if found.total_ms > 0:
            profiles[name] = found
        else:
            warnings.append(f"no time per operator for {name}: it is below the profiler's microsecond")
    return profiles, warnings


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
