"""What a device profile holds once its file has passed the schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefit_toolkit.records import Precision

Basis = Literal["published", "scaled", "measured here"]


@dataclass(frozen=True)
class Core:
    """Cores of one kind."""

    kind: str  # microarchitecture: "Cortex-A76"
    count: int
    clock_ghz: float  # highest
    source: str


@dataclass(frozen=True)
class Point:
    """One latency that somebody published or measured on this device."""

    network: str  # a released variant ("lite2"), or a family ("lite", "b") together with phi
    precision: Precision  # float16 runs on the GPU, the others on the CPU
    threads: int  # 0 for the GPU
    latency_ms: float
    stat: str  # "mean", "p50"
    source: str
    phi: float | None = None
    measured: bool = False  # by `edgefit calibrate` on the user's own device; outweighs every published figure


@dataclass(frozen=True)
class Accelerator:
    """What somebody measured on a processor that edgefit never picks: shown, and no more."""

    kind: str  # "EdgeTPU", "NPU", "Hexagon"
    network: str  # as its source calls it
    precision: str
    latency_ms: float
    software: str  # "tflite, QNN delegate"
    source: str


@dataclass(frozen=True)
class DeviceProfile:
    """Everything known about one device."""

    name: str  # the file's name: "pixel7"
    title: str  # "Google Pixel 7"
    kind: Literal["phone", "board", "computer"]
    codenames: tuple[str, ...]  # ro.product.device: which attached phone this profile is for
    soc: str
    cores: tuple[Core, ...]
    dotprod: bool  # SDOT/UDOT (Armv8.2), or VNNI on x86
    i8mm: bool  # SMMLA/UMMLA (Armv8.6)
    threads: int  # that predictions are for
    memory_gb: float
    basis: Basis
    sources: dict[str, str]  # short name -> where the figure was read
    source: str  # of title, codenames and memory: a key of `sources`, as everywhere in a profile
    soc_source: str
    gpu: str | None = None
    architecture: Literal["arm64", "x86_64"] = "arm64"
    points: tuple[Point, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()
    cache_mb: float | None = None  # of all levels that one core reaches, but the first
    copy_gb_s: float | None = None  # what memory is copied at; without both, predictions leave memory out
    note: str = ""
    p90_over_p50: float | None = None  # measured spread, where there is one
    path: Path | None = None

    def points_of(self, precision: Precision) -> tuple[Point, ...]:
        """The latencies known for one precision."""
        return tuple(point for point in self.points if point.precision == precision)
