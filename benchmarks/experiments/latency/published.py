"""Published latencies of networks of this class, with the devices that they were measured on.

results/published_latency.csv holds every usable row: a CPU, up to four threads on big cores, a network whose operators
are known (networks.py) of 50 M multiply-adds or more (the smallest that the picker considers), measured, not
predicted. Each row names its source. results/published_devices.csv holds the devices that have no profile.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.latency.memory import Memory, memory_of
from edgefit_toolkit.records import Precision
from experiments.latency.core_cycles.kernels import CORES, KERNEL_SETS
from experiments.latency.networks import network, sorted_scores

RESULTS = Path(__file__).parents[2] / "results"
XNNPACK = ("tflite xnnpack 2024", "xnnpack 2020", "tflite 2.18")  # software whose 64-bit convolutions are XNNPACK's
UNVERSIONED = ("ncnn",)  # its rows span years of kernels without a version: they teach nothing and are not compared
SDOT, SMMLA = "a76", "x3"  # kernel sets
# Taken to have run SDOT's kernels where later versions run SMMLA's: a Galaxy S23's rows are then 1.18 times its core's
# own cycles, as an X1's are 1.27 times (by SMMLA's 1.45). A doubt: so no row counts as evidence of SMMLA's kernels.
BEFORE_SMMLA = ("tflite xnnpack 2024",)


@dataclass(frozen=True)
class Hardware:
    """What of a device decides its latency."""

    name: str
    title: str
    kind: str  # "phone" | "board"
    cores: tuple[tuple[str, float], ...]  # (microarchitecture, GHz) of every core
    dotprod: bool
    i8mm: bool
    memory: Memory | None


@dataclass(frozen=True)
class Row:
    """One published latency on a CPU."""

    device: Hardware
    software: str  # "tflite 2020", "paddle-lite 2.11": whose kernels ran
    precision: Precision
    threads: int
    network: str
    input_px: int
    latency_ms: float
    source: str

    def tables(self, core: str) -> str:
        """The kernels (a table of kernels.toml) that this row's software ran on that core."""
        known = CORES[core]
        if self.precision != "int8":  # float16 arithmetic halves every count alike: its software factor takes that up
            return f"float32-{known.float32}-{known.pipeline}"
        older = self.software in BEFORE_SMMLA and known.pipeline in KERNEL_SETS[SDOT].pipelines
        kernels = SDOT if known.int8 == SMMLA and older else known.int8
        return f"int8-{kernels}-{known.pipeline}"

    @property
    def by_xnnpack(self) -> bool:
        """Whether the kernels are those of the runtime that edgefit ships."""
        return self.software in XNNPACK

    @property
    def operators(self) -> int:
        """How many operators one inference calls."""
        return len(network(self.network, self.input_px))

    @property
    def scores(self) -> int:
        """What a detector sorts after its last operator, with one thread; 0 for every other network."""
        return sorted_scores(self.network, self.input_px)

    @property
    def madds(self) -> int:
        """Multiply-adds of the network."""
        return sum(layer.madds for layer in network(self.network, self.input_px))


def read_rows() -> list[Row]:
    """Every usable published latency of software whose version is known."""
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
            if row["software"] not in UNVERSIONED
        ]


def _devices() -> dict[str, Hardware]:
    """From the shipped profiles, and from published_devices.csv for devices that have none."""
    found = {}
    for path in SHIPPED_DIR.glob("*.toml"):
        profile = read_profile(path)
        cores = tuple((core.kind, core.clock_ghz) for core in profile.cores for _ in range(core.count))
        instructions = (profile.dotprod, profile.i8mm)
        found[profile.name] = Hardware(
            profile.name, profile.title, profile.kind, cores, *instructions, memory_of(profile)
        )
    with (RESULTS / "published_devices.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            clusters = [cluster.replace("x", "@", 1).split("@") for cluster in row["cores"].split(" + ")]
            cores = tuple((kind, float(ghz)) for count, kind, ghz in clusters for _ in range(int(count)))
            title = f"{row['title']} ({row['soc']})"
            instructions = (row["dotprod"] == "1", row["i8mm"] == "1")
            memory = Memory(float(row["cache_mb"]), float(row["copy_gb_s"])) if row["copy_gb_s"] else None
            found[row["device"]] = Hardware(row["device"], title, row["kind"], cores, *instructions, memory)
    return found
