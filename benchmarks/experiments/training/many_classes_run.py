"""Whole runs of a network that its classifier outweighs, with the classifier factorized and with the full one.

    python -m experiments.training.many_classes_run DATA FOLDER [--write]

DATA has hundreds of classes of few pictures each. The first run goes from the picked weights to the report; where it
begins to factorize the classifier its folder is copied, and the second run goes on from there with the full one: so
both have the same network, trained once. Runs that lie in FOLDER are gone on with, or found finished. The int8 files
are timed on this host in turns. Writes the section of many_classes.md that stands under TITLE.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.timing import measure_interleaved
from edgefit_toolkit.api.console import Terminal
from edgefit_toolkit.api.fit import Run, fit
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.training import fine_tune
from edgefit_toolkit.training.factorized import LABEL
from experiments.training.many_classes import ROUNDS, write_section

TITLE = "## A whole run"
CHOICES: dict[str, Any] = {
    "budget_ms": 3.0,
    "device": "pixel4",
    "phi": -6.0,
    "epochs": 1,
    "offline": True,
    "measure": False,
}
FULL, FACTORIZED = "full", "factorized"


class Copies(Terminal):
    """Copies a run's folder where the run begins to factorize its classifier."""

    def __init__(self, run: Path, copy: Path) -> None:
        super().__init__()
        self._run, self._copy = run, copy

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """See Ui."""
        if label == LABEL and not self._copy.exists():
            shutil.copytree(self._run, self._copy)
        super().progress(label, done, total, detail)


def made(data: str, folder: Path) -> dict[str, Run]:
    """Both runs."""
    with Copies(folder / FACTORIZED, folder / FULL) as ui:
        factorized = fit(data=data, out=folder / FACTORIZED, on_progress=ui, **CHOICES)
    with patch.object(fine_tune, "outweighs", lambda _: False):
        full = fit(data=data, out=folder / FULL, **CHOICES)
    return {FULL: full, FACTORIZED: factorized}


def row(name: str, run: Run, ms: list[float]) -> str:
    """What a report says, and p50 of each round."""
    report = run.report
    size, quantization = report["models"]["int8"]["size_bytes"], report["quantization"]
    (step,) = [step for step in quantization["ladder"] if step["name"] == quantization["recipe"]]
    top1 = [report["accuracy"][which]["top1"] for which in ("float_tflite", "int8_tflite")]
    climbed = ", ".join(
        f"{one['name']} {one['agreement']:.3f} {one['sqnr_db']:.1f} dB" for one in quantization["ladder"]
    )
    return (
        f"| {name} | {size / 1e6:.2f} | {climbed} | **{step['name']}** | {report['agreement']['top1']:.3f} | "
        f"{top1[0]:.3f} | {top1[1]:.3f} | {np.median(ms):.2f} |"
    )


def section(runs: dict[str, Run]) -> str:
    """The runs' rows, with latencies in turns."""
    files = {name: run.model for name, run in runs.items()}
    options = [TimingOptions(threads=1, max_seconds=2.0, seed=seed) for seed in range(ROUNDS)]
    rounds = [measure_interleaved(LocalTarget(), files, how) for how in options]
    p50 = {name: [summarise(found[name].samples_ms).p50_ms for found in rounds] for name in files}
    ratios = ", ".join(f"{b / a:.2f}" for a, b in zip(p50[FULL], p50[FACTORIZED], strict=True))
    report = runs[FACTORIZED].report
    counts = " / ".join(f"{count:,}" for count in report["data"]["counts"].values())
    lines = [
        f"`python -m experiments.training.many_classes_run DATA FOLDER`: {len(report['data']['classes'])} classes, "
        f"{counts} pictures to train, validate and test; {report['weights']['note']}; the probe and one epoch, once, "
        f"and from there to the report with the classifier factorized and with the full one. "
        f"{report['training']['classifier']}.",
        "",
        "| classifier | int8, MB | the guard's ladder: agreement with float, SQNR | handed over | agreement, test | "
        "top-1 float, test | int8 | host p50, ms |",
        "|---|--:|---|---|--:|--:|--:|--:|",
        *(row(name, run, p50[name]) for name, run in runs.items()),
        "",
        f"Factorized / full on this host ({cpu_name()}, one thread, beside other work), in turns: {ratios}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs, or goes on, and prints or writes the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    text = section(made(chosen.data, chosen.folder))
    print(text)
    if chosen.write:
        write_section(TITLE, text)


if __name__ == "__main__":
    main()
