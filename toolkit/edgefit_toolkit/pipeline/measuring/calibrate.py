"""A profile of this very device: a few probes measured on it, and its figures fitted to them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path

from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.timing import measure_interleaved
from edgefit_converters.tflite.skeleton import write_skeleton
from edgefit_toolkit.devices import load_profile, save_user_profile
from edgefit_toolkit.latency import calibrate
from edgefit_toolkit.latency.calibrate import Calibration
from edgefit_toolkit.pipeline.measuring.bench import find_bench
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Precision


def calibrate_profile(
    device: str,
    ui: Ui,
    *,
    where: Mapping[str, str] | None,
    threads: int | None,
    count: int,
    precision: Precision = "int8",
) -> tuple[Calibration, Path]:
    """Measure `count` probes on the device, fit its profile to them and keep it among the user's own.

    The probes are timed in turns, so that a machine that gets busier does so for all of them.
    """
    profile = load_profile(device)
    bench = find_bench(profile, where, threads=threads, required=True)
    assert bench is not None
    with tempfile.TemporaryDirectory(prefix="edgefit-probe-") as folder:
        variants = {variant.label: variant for variant in calibrate.probes(count)}
        paths = {label: Path(folder) / f"probe-{i}.tflite" for i, label in enumerate(variants)}
        for label, variant in variants.items():
            write_skeleton(variant, paths[label], "float32" if precision == "float32" else "int8")
        ui.note(f"measuring {count} {precision} probes on {bench.target.facts().label}, {bench.threads} threads")
        try:
            rows = measure_interleaved(bench.target, paths, bench.options())
        finally:
            bench.target.cleanup()
    measured = [(variants[label], summarise(row.samples_ms).p50_ms) for label, row in rows.items()]
    for variant, p50_ms in measured:
        ui.note(f"{variant.label}: p50 {p50_ms:.2f} ms")
    row = next(iter(rows.values()))
    source = f"edgefit calibrate on {row.target}, {row.runtime}, ai-edge-litert {version('ai-edge-litert')}"
    source = f"{source}, {date.today()}"
    made = calibrate.fit_profile(profile, measured, source=source, threads=bench.threads, precision=precision)
    return made, save_user_profile(made.profile)
