"""Cycles per step of each kernel on each pipeline: from results/core_cycles.csv to latency/kernels.toml."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.latency.kernels import GROUP, features
from edgefit_toolkit.network.graph import Operator, OperatorKind
from experiments.latency.core_cycles.kernels import CORES

CYCLES_FILE = Path(__file__).parents[3] / "results" / "core_cycles.csv"
GROUPS = ("matmul", "conv", "depthwise", "elementwise", "pool")
TILES = {"rows": (1, 2, 3, 4, 6, 8), "columns": (8, 16, 32)}

Name = tuple[str, str, str]  # precision, kernel set, pipeline
Array = npt.NDArray[np.float64]


def read_cycles() -> dict[Name, list[tuple[Operator, float]]]:
    """Simulated operators by kernel set and pipeline."""
    found: dict[Name, list[tuple[Operator, float]]] = {}
    with CYCLES_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"].startswith("network:"):
                continue
            kind: OperatorKind = row["kind"]  # type: ignore[assignment]
            ends = [(int(row[f"{end}_px"]),) * 2 + (int(row[f"{end}_channels"]),) for end in ("in", "out")]
            layer = Operator(
                "", kind, 0, ends[0], ends[1], int(row["kernel"]), int(row["stride"]), int(row["madds"]), 0
            )
            name = (row["precision"], row["kernels"], row["pipeline"])
            found.setdefault(name, []).append((layer, float(row["cycles"])))
    return found


def non_negative(steps: Array, counts: Array) -> Array:
    """Least relative error with no negative cost: columns that want one are left out."""
    keep = np.ones(steps.shape[1], bool)
    while True:
        found = np.linalg.lstsq(steps[:, keep] / counts[:, None], np.ones(len(counts)), rcond=None)[0]
        if (found >= 0).all():
            break
        keep[np.flatnonzero(keep)[found.argmin()]] = False
    costs = np.zeros(steps.shape[1])
    costs[keep] = found
    return costs


def fit(simulated: list[tuple[Operator, float]], group: str) -> dict[str, float]:
    """The table of one kernel with the tile that describes it best."""
    mine = [(layer, total) for layer, total in simulated if GROUP[layer.kind] == group]
    counts = np.array([total for _, total in mine], float)
    tiled = group in ("matmul", "conv")
    best: tuple[float, dict[str, float]] | None = None
    for rows, columns in product(*TILES.values()) if tiled else [(1, 16)]:
        each = [features(layer, rows, columns) for layer, _ in mine]
        steps = np.array([[row[key] for key in each[0]] for row in each], float)
        costs = non_negative(steps, counts)
        error = float(((steps @ costs / counts - 1) ** 2).mean())
        if best is None or error < best[0]:
            table: dict[str, float] = {"rows": rows, "columns": columns} if tiled else {"columns": columns}
            best = error, table | {key: float(f"{cost:.4g}") for key, cost in zip(each[0], costs, strict=True)}
    assert best is not None
    return best[1]


def needed() -> list[Name]:
    """The tables that cores.toml points at, and SDOT's on the X3, which older software ran there."""
    found = {("int8", core.int8, core.pipeline) for core in CORES.values()} | {("int8", "a76", "neoverse-v2")}
    return sorted(found | {("float32", core.float32, core.pipeline) for core in CORES.values()})


def kernels_toml(simulated: dict[Name, list[tuple[Operator, float]]]) -> str:
    """toolkit/edgefit_toolkit/latency/kernels.toml."""
    blocks = [_HEAD]
    for name in needed():
        if name not in simulated:
            continue  # TEMP
        lines = [f"[{'-'.join(name)}]"]
        for group in GROUPS:
            table = fit(simulated[name], group)
            lines.append(f"{group} = {{ {', '.join(f'{key} = {value:g}' for key, value in table.items())} }}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join([*blocks, _OTHERS])


_HEAD = """\
# Cycles per step of XNNPACK's kernels, by precision, kernel set and LLVM's pipeline model: kernels.py says what a step
# is. Written by `python -m experiments.latency.core_cycles` from results/core_cycles.csv; cores.toml says which core is
# which.
"""
_OTHERS = (Path(__file__).parent / "other_kernels.toml").read_text(encoding="utf-8")
