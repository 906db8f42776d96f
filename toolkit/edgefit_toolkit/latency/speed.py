"""What cores, clocks, threads and memory promise of a device before anything was measured on it. Pure.

    operator_ms = max(software * threads ** loss / sum over the cores in use of GHz / (factor * millions of cycles),
                      megabytes moved / GB/s that memory is copied at)  +  call_us / GHz of the fastest core

Data in cores.toml. A network has two parts: convolutions by matrix product, and everything else; calls belong to the
latter.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.kernels import MATMULS, Work, operator_cycles, parts
from edgefit_toolkit.latency.memory import Memory, memory_of
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.records import Precision, Variant

CORES_FILE = Path(__file__).with_name("cores.toml")
EVIDENCE = ("seen", "modelled", "stand-in", "nothing")  # from the best to the least


@dataclass(frozen=True)
class CoreInUse:
    """Threads that run on cores of one kind."""

    kernels: str  # table of kernels.toml
    ghz_per_factor: float  # GHz of all its threads, over cycles of the core per cycle of its model


@dataclass(frozen=True)
class Speed:
    """The promise for one precision on the device's CPU."""

    precision: Precision
    cores: tuple[CoreInUse, ...]
    scale: float  # software and lost threads
    call_ms: float  # of one operator
    memory: Memory | None  # None: not known, and left out
    evidence: str  # of the fastest core; "seen": rows of it on another device
    reference: str  # what taught it, for the basis sentence

    def variant_ms(self, variant: Variant) -> Work:
        """(matrix products, everything else) in ms."""
        return _variant_ms(self, variant)

    def graph_ms(self, graph: tuple[Operator, ...]) -> Work:
        """The same for any operators."""
        matmul, other = parts((layer, self._busy_ms(layer)) for layer in graph)
        return matmul, other + len(graph) * self.call_ms

    def operator_ms(self, layer: Operator) -> Work:
        """The same for one operator."""
        busy = self._busy_ms(layer)
        return (busy, self.call_ms) if layer.kind in MATMULS else (0.0, busy + self.call_ms)

    def _busy_ms(self, layer: Operator) -> float:
        rate = sum(core.ghz_per_factor / operator_cycles(layer, core.kernels) for core in self.cores)
        waits = self.memory.operator_ms(layer, self.precision) if self.memory else 0.0
        return max(self.scale / rate, waits)


@lru_cache(maxsize=8192)
def _variant_ms(speed: Speed, variant: Variant) -> Work:
    return speed.graph_ms(operators(variant))


def cpu_speed(profile: DeviceProfile, precision: Precision) -> Speed:
    """The promise of the profile's fastest cores. Raises InputError for a core that nothing is known of."""
    data = core_data()
    known: dict[str, Any] = data["cores"]
    for core in profile.cores:
        if core.kind not in known:
            raise InputError(
                f"{profile.path}: nothing is known of {core.kind!r} cores; known: {', '.join(sorted(known))}",
                "name the nearest known microarchitecture, and say so in the profile's note",
            )
    own = [(core, known[core.kind][precision]) for core in profile.cores for _ in range(core.count)]
    own.sort(key=lambda pair: pair[0].clock_ghz * pair[1]["pace"] / pair[1]["factor"], reverse=True)
    used = own[: profile.threads]
    threads: dict[str, tuple[float, dict[str, Any]]] = {}
    for core, facts in used:
        start = threads.get(core.kind, (0.0, facts))[0]
        threads[core.kind] = (start + core.clock_ghz / facts["factor"], facts)
    cores = tuple(CoreInUse(facts["kernels"], ghz) for ghz, facts in threads.values())
    calls = "several" if len(used) > 1 else "one"
    engine = data["software"][f"{precision}-{profile.architecture}"]
    return Speed(
        precision=precision,
        cores=cores,
        scale=engine["factor"] * len(used) ** data["threads"]["loss"],
        call_ms=engine["call_us_ghz"][calls] / 1000 / used[0][0].clock_ghz,
        memory=memory_of(profile),
        evidence=used[0][1]["evidence"],
        reference=engine["reference"],
    )


@lru_cache(maxsize=1)
def core_data() -> dict[str, Any]:
    """cores.toml."""
    return tomllib.loads(CORES_FILE.read_text(encoding="utf-8"))
