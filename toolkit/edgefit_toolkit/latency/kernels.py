"""What one operator costs on one core, in cycles: shapes in, millions of cycles out. Pure.

XNNPACK computes a convolution in tiles of `rows` pixels by `columns` output channels, and everything else in blocks of
`columns` channels; a tile that is not full costs as much as one that is. So cost is not proportional to multiply-adds,
and not monotone in phi. kernels.toml holds the tiles and the cycles per step: the machine code of the kernels run
through pipeline models of the cores (experiments/latency/core_cycles). Loads are taken to hit the first cache
(memory.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.network.graph import Operator, OperatorKind

KERNELS_FILE = Path(__file__).with_name("kernels.toml")
GROUP: dict[OperatorKind, str] = {  # operator kind -> table of kernels.toml
    "pointwise": "matmul",
    "fc": "matmul",
    "conv": "conv",
    "depthwise": "depthwise",
    "add": "elementwise",
    "act": "elementwise",
    "pool": "pool",
    "se": "pool",
}
MATMULS = tuple(kind for kind, group in GROUP.items() if group in ("matmul", "conv"))  # convolutions by matrix product
ACT_PASSES = 2  # swish: a sigmoid and a product
SE_PASSES = 2  # squeeze-excite: the pooling pass, and the product as another of its size

Tables = Mapping[str, Mapping[str, float]]  # group -> step -> cycles
Work = tuple[float, float]  # inside convolutions by matrix product, and elsewhere


@lru_cache(maxsize=64)
def tables(name: str) -> Tables:
    """The kernels of this name (see kernels.toml)."""
    found: Tables = _file()[name]
    return found


def features(layer: Operator, rows: int = 1, columns: int = 16) -> dict[str, float]:
    """How often each step of the operator's kernel runs; kernels.toml gives cycles per step."""
    pixels, before = layer.out_shape[0] * layer.out_shape[1], layer.in_shape[0] * layer.in_shape[1]
    blocks = -(-layer.out_shape[2] // columns)
    group = GROUP[layer.kind]
    if group in ("matmul", "conv"):
        tiles = -(-pixels // rows) * blocks
        depth = layer.madds / (pixels * layer.out_shape[2])  # inputs of one output
        return {"per_tile_depth": tiles * depth, "per_pixel_block": pixels * blocks, "per_op": 1}
    if group == "depthwise":
        return {
            "per_tap": blocks * layer.madds / layer.out_shape[2],
            "per_pixel_block": pixels * blocks,
            "per_pixel": pixels,
            "per_input_block": before * blocks,
            "per_op": 1,
        }
    passes = {"act": ACT_PASSES, "se": SE_PASSES}.get(layer.kind, 1)
    if group == "elementwise":
        return {"per_pixel_block": pixels * blocks * passes, "per_op": passes}
    return {"per_input_block": before * blocks * passes, "per_block": blocks * passes, "per_op": passes}


def operator_cycles(layer: Operator, name: str) -> float:
    """What the operator costs with the kernels of this name, in millions of cycles."""
    table = tables(name)[GROUP[layer.kind]]
    steps = features(layer, int(table.get("rows", 1)), int(table["columns"]))
    return sum(count * table[step] for step, count in steps.items()) / 1e6


def graph_cycles(graph: tuple[Operator, ...], name: str) -> Work:
    """(matrix products, everything else) of a network, in millions of cycles."""
    return parts((layer, operator_cycles(layer, name)) for layer in graph)


def parts(costs: Iterable[tuple[Operator, float]]) -> Work:
    """Costs of operators, summed over matrix products and over everything else."""
    sums = [0.0, 0.0]
    for layer, cost in costs:
        sums[layer.kind not in MATMULS] += cost
    return sums[0], sums[1]


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(KERNELS_FILE.read_text(encoding="utf-8"))
