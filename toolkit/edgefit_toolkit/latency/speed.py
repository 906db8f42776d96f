"""What cores, clocks and threads promise of a device before anything was measured on it. Pure; data in cores.toml.

    part_ms = software * threads ** loss / sum over the cores in use of GHz / (factor * millions of cycles of the part)
    calls_ms = operators * call_us / GHz of the fastest core

A network has two parts: convolutions by matrix product, and everything else; calls belong to the latter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.devices import DeviceProfile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.kernels import Work, graph_work, operator_work, variant_work
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

    cores: tuple[CoreInUse, ...]
    scale: float  # software and lost threads
    call_ms: float  # of one operator
    evidence: str  # of the fastest core; "seen": rows of it on another device
    reference: str  # what taught it, for the basis sentence

    def variant_ms(self, variant: Variant) -> Work:
        """(matrix products, everything else) in ms."""
        return self._ms(lambda name: variant_work(variant, name), len(operators(variant)))

    def graph_ms(self, graph: tuple[Operator, ...]) -> Work:
        """The same for any operators."""
        return self._ms(lambda name: graph_work(graph, name), len(graph))

    def operator_ms(self, layer: Operator) -> Work:
        """The same for one operator."""
        return self._ms(lambda name: operator_work(layer, name), 1)

    def _ms(self, work: Callable[[str], Work], calls: int) -> Work:
        rates = [0.0, 0.0]  # parts per ms
        for core in self.cores:
            for part, cycles in enumerate(work(core.kernels)):
                rates[part] += core.ghz_per_factor / cycles if cycles else 0.0
        matmul, other = (self.scale / rate if rate else 0.0 for rate in rates)
        return matmul, other + calls * self.call_ms


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
    calls = profile.kind if len(used) > 1 else "one"
    engine = data["software"][f"{precision}-{profile.architecture}"]
    return Speed(
        cores=cores,
        scale=engine["factor"] * len(used) ** data["thread_loss"][profile.kind],
        call_ms=engine["call_us_ghz"][calls] / 1000 / used[0][0].clock_ghz,
        evidence=used[0][1]["evidence"],
        reference=engine["reference"],
    )


@lru_cache(maxsize=1)
def core_data() -> dict[str, Any]:
    """cores.toml."""
    return tomllib.loads(CORES_FILE.read_text(encoding="utf-8"))
