"""Published latencies of networks of this class, with the devices that they were measured on.

results/published_latency.csv holds every usable row: a CPU, up to four threads on big cores, a network whose operators
are known (networks.py) of 50 M multiply-adds or more (the smallest that the picker considers), measured, not
predicted. Each row names its source. results/published_devices.csv holds the devices that have no profile.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from edgefit_toolkit.devices import SHIPPED_DIR, read_profile
from edgefit_toolkit.latency.kernels import engine, engine_name, graph_work
from edgefit_toolkit.records import Precision
from experiments.networks import network

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Hardware:
    """What of a device decides its latency."""

    name: str
    title: str
    kind: str  # "phone" | "board"
    cores: tuple[tuple[str, float], ...]  # (microarchitecture, GHz) of every core
    dotprod: bool
    i8mm: bool


@dataclass(frozen=True)
class Row:
    """One published latency."""

    device: Hardware
    software: str  # "tflite 2020", "paddle-lite 2.11": whose kernels ran
    precision: Precision
    threads: int
    network: str
    input_px: int
    latency_ms: float
    source: str

    def work(self, elementwise_weight: float | None = None) -> tuple[float, float]:
        """(matrix products, everything else) in millions of instructions on this device's kernels.

        The latter is weighted as kernels.toml says, or by the weight given.
        """
        # float16 arithmetic halves every count alike: its own cycles per instruction take that up
        precision: Precision = "int8" if self.precision == "int8" else "float32"
        kernels = engine_name(precision, "arm64", self.device.dotprod, self.device.i8mm)
        matmul, other = _work(kernels, self.network, self.input_px)
        if elementwise_weight is None:
            return matmul, other
        return matmul, other / engine(kernels).elementwise_weight * elementwise_weight

    @property
    def madds(self) -> int:
        """Multiply-adds of the network."""
        return sum(layer.madds for layer in network(self.network, self.input_px))


@lru_cache(maxsize=1024)
def _work(kernels: str, name: str, input_px: int) -> tuple[float, float]:
    return graph_work(network(name, input_px), engine(kernels))


def read_rows() -> list[Row]:
    """Every usable published latency."""
    devices = _devices()
    with (RESULTS / "published_latency.csv").open(newline="") as file:
        return [
            Row(
                devices[row["device"]],
                row["software"],
                cast(Precision, row["precision"]),
                int(row["threads"]),
                row["network"],
                int(row["input_px"]),
                float(row["latency_ms"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]


def _devices() -> dict[str, Hardware]:
    """From the shipped profiles, and from published_devices.csv for devices that have none."""
    found = {}
    for path in SHIPPED_DIR.glob("*.toml"):
        profile = read_profile(path)
        cores = tuple((core.kind, core.clock_ghz) for core in profile.cores for _ in range(core.count))
        found[profile.name] = Hardware(profile.name, profile.title, profile.kind, cores, profile.dotprod, profile.i8mm)
    with (RESULTS / "published_devices.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            clusters = [cluster.replace("x", "@", 1).split("@") for cluster in row["cores"].split(" + ")]
            cores = tuple((kind, float(ghz)) for count, kind, ghz in clusters for _ in range(int(count)))
            title = f"{row['title']} ({row['soc']})"
            found[row["device"]] = Hardware(
                row["device"], title, row["kind"], cores, row["dotprod"] == "1", row["i8mm"] == "1"
            )
    return found
