"""float16 on a phone's GPU: what moves through its memory. Pure; one entry of gpus.toml for each GPU with rows.

    ms = ms_per_gmadds * G multiply-adds + ms_per_mb * MB of activations + ms_per_weight_mb * MB of weights + fixed_ms

Two bytes a number. Nothing of one GPU carries over to another: drivers and memory differ more than arithmetic.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

from edgefit_toolkit.latency.kernels import Work
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.records import Variant

GPUS_FILE = Path(__file__).with_name("gpus.toml")
BYTES = 2  # of a float16


@dataclass(frozen=True)
class Gpu:
    """One GPU as its rows have it."""

    ms_per_gmadds: float
    ms_per_mb: float  # of activations read and written
    ms_per_weight_mb: float
    fixed_ms: float
    rows: int
    interval: float  # half-width of the 80% interval, a factor minus one, from each row left out
    source: str

    def variant_ms(self, variant: Variant) -> Work:
        """(multiply-adds and weights, activations) in ms, without the fixed cost."""
        return self.graph_ms(operators(variant))

    def graph_ms(self, graph: tuple[Operator, ...]) -> Work:
        """The same for any operators."""
        each = [self.operator_ms(layer) for layer in graph]
        return sum(first for first, _ in each), sum(second for _, second in each)

    def operator_ms(self, layer: Operator) -> Work:
        """The same for one operator."""
        gmadds, moved, weights = gpu_features(layer)
        return self.ms_per_gmadds * gmadds + self.ms_per_weight_mb * weights, self.ms_per_mb * moved


def gpu_features(layer: Operator) -> tuple[float, float, float]:
    """(G multiply-adds outside of depthwise convolutions, MB of activations, MB of weights) of one operator."""
    madds = 0 if layer.kind == "depthwise" else layer.madds / 1e9
    return madds, BYTES * (prod(layer.in_shape) + prod(layer.out_shape)) / 1e6, BYTES * layer.params / 1e6


@lru_cache(maxsize=1)
def gpus() -> dict[str, Gpu]:
    """Every GPU that published rows are known of, by the name that profiles use."""
    return {name: Gpu(**facts) for name, facts in tomllib.loads(GPUS_FILE.read_text(encoding="utf-8")).items()}
