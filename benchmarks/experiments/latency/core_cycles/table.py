"""results/core_cycles.md: what the pipeline models say per core and loop, beside what published rows say."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

from edgefit_toolkit.latency.kernels import graph_cycles
from experiments.latency.core_cycles.kernels import CORES
from experiments.latency.networks import network
from experiments.latency.published import Row, read_rows

LOOPS_FILE = Path(__file__).parents[3] / "results" / "core_loops.csv"


def report() -> str:
    """The tables as Markdown."""
    lines = ["# Cycles of XNNPACK's kernels by LLVM's pipeline models", ""]
    lines += ["Written by `python -m experiments.latency.core_cycles` (Debian's llvm-19, QEMU 7.2, libLiteRt of"]
    lines += ["ai-edge-litert 2.3.0); every operator in core_cycles.csv, loops in core_loops.csv. Loads hit the first"]
    lines += ["cache here.", ""]
    return "\n".join([*lines, *_cores(), "", *_loops(), "", *_published(), ""])


def _cores() -> list[str]:
    lines = ["## Which core stands for which", "", "| core | pipeline | int8 kernels | float32 kernels | why |"]
    lines.append("|---|---|---|---|---|")
    for name, core in CORES.items():
        lines.append(f"| {name} | {core.pipeline} | {core.int8} | {core.float32} | {core.why} |")
    return lines


def _loops() -> list[str]:
    lines = ["## The hottest loops of Lite0", "", "Cycles of one turn.", ""]
    with LOOPS_FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    pipelines = sorted({row["pipeline"] for row in rows})
    lines += [f"| precision | kernels | share | instructions | {' | '.join(pipelines)} |"]
    lines += ["|---|---|--:|--:" + "|--:" * len(pipelines) + "|"]
    seen: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for row in rows:
        key = (row["precision"], row["kernels"], f"{float(row['share']):.0%}", row["instructions"])
        seen.setdefault(key, {})[row["pipeline"]] = row["cycles"]
    for loop, cycles in seen.items():
        lines.append(f"| {' | '.join(loop)} | {' | '.join(cycles.get(name, '') for name in pipelines)} |")
    return lines


def _published() -> list[str]:
    lines = ["## Published latency over modelled cycles", ""]
    lines += ["One thread, TFLite with XNNPACK: published ms / (cycles of the model / clock of the fastest core)."]
    lines += [
        "What is above 1 is memory, calls and clocks; that it is alike on all cores is what the predictor uses.",
        "",
    ]
    lines += ["| device | core | precision | rows | median | least | most |", "|---|---|---|--:|--:|--:|--:|"]
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in read_rows():
        if row.threads == 1 and row.by_xnnpack:
            core = max(row.device.cores, key=lambda core: core[1])[0]
            found.setdefault((row.device.title, core, row.precision), []).append(row.latency_ms / bare_ms(row))
    for (title, core, precision), ratios in sorted(found.items()):
        middle = statistics.median(ratios)
        lines.append(
            f"| {title} | {core} | {precision} | {len(ratios)} | {middle:.2f} | {min(ratios):.2f} | {max(ratios):.2f} |"
        )
    return lines


def bare_ms(row: Row) -> float:
    """The model's cycles over the clock of the device's fastest core."""
    core, ghz = max(row.device.cores, key=lambda core: core[1])
    return sum(graph_cycles(network(row.network, row.input_px), row.tables(core))) / ghz
