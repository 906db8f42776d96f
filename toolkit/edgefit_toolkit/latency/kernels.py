"""What one operator costs on one core, in cycles: shapes in, millions of cycles out. Pure.

XNNPACK computes a convolution in tiles of `rows` pixels by `columns` output channels, and everything else in blocks of
`columns` channels; a tile that is not full costs as much as one that is. So cost is not proportional to multiply-adds,
and not monotone in phi. kernels.toml holds the tiles and the cycles per step: the machine code of the kernels run
through pipeline models of the cores (experiments/core_cycles). Every load is taken to hit the first cache.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.network.graph import Operator, OperatorKind, operators
from edgefit_toolkit.records import Variant

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
ACT_PASSES = 2  # swish: a sigmoid and a product
SE_PASSES = 2  # squeeze-excite: the pooling pass, and the product as another of its size

Tables = Mapping[str, Mapping[str, float]]  # group -> step -> cycles
Work = tuple[float, float]  # millions of cycles inside convolutions by matrix product, and elsewhere


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


def operator_work(layer: Operator, name: str) -> Work:
    """What the operator costs with the kernels of this name; one of the two is 0."""
    group, known = GROUP[layer.kind], tables(name)
    table = known[group]
    steps = features(layer, int(table.get("rows", 1)), int(table["columns"]))
    cycles = sum(count * table[step] for step, count in steps.items()) / 1e6
    return (cycles, 0.0) if group in ("matmul", "conv") else (0.0, cycles)


def graph_work(graph: tuple[Operator, ...], name: str) -> Work:
    """`operator_work` summed over a network's operators."""
    each = [operator_work(layer, name) for layer in graph]
    return math.fsum(matmul for matmul, _ in each), math.fsum(other for _, other in each)


@lru_cache(maxsize=8192)
def variant_work(variant: Variant, name: str) -> Work:
    """`graph_work` of a variant with the kernels of this name."""
    return graph_work(operators(variant), name)


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(KERNELS_FILE.read_text(encoding="utf-8"))
