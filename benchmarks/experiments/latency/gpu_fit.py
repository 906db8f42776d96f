"""What a phone's GPU costs, from published float16 latencies: latency/gpus.toml, and each row without itself."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.latency.gpu import gpu_features
from experiments.latency.core_cycles.fit import non_negative
from experiments.latency.core_fit import leave_out
from experiments.latency.networks import network
from experiments.latency.published import RESULTS, read_rows

GPU_FILE = RESULTS / "published_gpu.csv"
COSTS = ("ms_per_gmadds", "ms_per_mb", "ms_per_weight_mb", "fixed_ms")
LEAST_ROWS = 5  # fewer teach no four costs
COVERAGE = 0.8

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GpuRow:
    """One published latency on a GPU."""

    device: str
    gpu: str
    network: str
    input_px: int
    latency_ms: float
    source: str

    @property
    def features(self) -> list[float]:
        """What each of COSTS is multiplied by."""
        each = [gpu_features(layer) for layer in network(self.network, self.input_px)]
        return [*(sum(part) for part in zip(*each, strict=True)), 1.0]


def read_gpu_rows() -> dict[str, list[GpuRow]]:
    """Published rows by GPU."""
    found: dict[str, list[GpuRow]] = {}
    with GPU_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            facts = (row["device"], row["gpu"], row["network"], int(row["input_px"]), float(row["latency_ms"]))
            found.setdefault(row["gpu"], []).append(GpuRow(*facts, row["source"]))
    return {name: rows for name, rows in found.items() if len(rows) >= LEAST_ROWS}


def fit_gpu(rows: list[GpuRow]) -> Array:
    """The costs with the least relative error, none below 0."""
    return non_negative(np.array([row.features for row in rows]), np.array([row.latency_ms for row in rows]))


def leave_one_out(rows: list[GpuRow]) -> list[float]:
    """Latency in ms of each row by the others."""
    return [float(np.dot(row.features, fit_gpu([other for other in rows if other is not row]))) for row in rows]


def faster_named(rows: list[GpuRow], predicted: list[float]) -> list[bool]:
    """For every network with an int8 CPU row of the same device: whether the faster of the two is predicted."""
    every = read_rows()
    cpu = {
        (row.device.name, row.network, row.input_px): (row.latency_ms, ms)
        for device in {row.device for row in rows}
        for row, ms in leave_out(every, {device})
        if row.precision == "int8"
    }
    found = []
    for row, gpu_ms in zip(rows, predicted, strict=True):
        if own := cpu.get((row.device, row.network, row.input_px)):
            found.append((own[0] < row.latency_ms) == (own[1] < gpu_ms))
    return found


def gpus_toml() -> str:
    """toolkit/edgefit_toolkit/latency/gpus.toml."""
    blocks = [_HEAD]
    for name, rows in read_gpu_rows().items():
        costs = dict(zip(COSTS, fit_gpu(rows), strict=True))
        errors = sorted(abs(np.log(ms / row.latency_ms)) for row, ms in zip(rows, leave_one_out(rows), strict=True))
        share = float(np.exp(errors[int(np.ceil(COVERAGE * len(errors))) - 1])) - 1
        lines = [f'["{name}"]', *(f"{cost} = {value:.4f}" for cost, value in costs.items())]
        lines += [f"rows = {len(rows)}", f"interval = {share:.2f}", f'source = "{rows[0].source}"']
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


_HEAD = """\
# float16 on GPUs, by the GPU delegate: gpu.py says what is multiplied by what. Written by
# `python -m experiments.latency.validate_latency --write` from results/published_gpu.csv; no other GPU is predicted.
"""
