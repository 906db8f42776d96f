"""What one operator costs on one kind of kernel, in instructions: shapes in, work out. Pure.

XNNPACK computes a convolution in tiles of `rows` pixels by `columns` output channels, and everything else in blocks of
`columns` channels; a tile that is not full costs as much as one that is. So work is not proportional to multiply-adds,
and not monotone in phi. kernels.toml holds the tiles and the instructions per step, fitted to counts of every operator
under an emulator (experiments/instruction_counts); their sum over a network is within 1% of the network's own count.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.network.graph import Operator, OperatorKind, operators
from edgefit_toolkit.records import Precision, Variant

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


@dataclass(frozen=True)
class Engine:
    """Kernels of one precision on one kind of processor."""

    name: str  # "int8-dotprod"
    source: str
    elementwise_weight: float  # time of an instruction outside of convolutions, against one inside
    tables: Mapping[str, Mapping[str, float]]


def engine_name(precision: Precision, architecture: str, dotprod: bool, i8mm: bool) -> str:
    """Which kernels XNNPACK (float16: the GPU delegate) runs this precision with."""
    if precision == "float16":
        return "float16-gpu"
    if architecture == "x86_64":
        return f"{precision}-x86"
    if precision == "float32":
        return "float32-neon"
    return "int8-i8mm" if i8mm else "int8-dotprod" if dotprod else "int8-neon"


@lru_cache(maxsize=16)
def engine(name: str) -> Engine:
    """The kernels of this name (see kernels.toml)."""
    every: dict[str, dict[str, Any]] = tomllib.loads(KERNELS_FILE.read_text(encoding="utf-8"))
    raw = every[name]
    tables = {key: value for key, value in every[raw.get("tables_of", name)].items() if isinstance(value, dict)}
    return Engine(name, raw["source"], raw["elementwise_weight"], tables)


def features(operator: Operator, rows: int = 1, columns: int = 16) -> dict[str, float]:
    """How often each step of the operator's kernel runs; kernels.toml gives instructions per step."""
    pixels, before = operator.out_shape[0] * operator.out_shape[1], operator.in_shape[0] * operator.in_shape[1]
    blocks = -(-operator.out_shape[2] // columns)
    taps = operator.kernel**2
    group = GROUP[operator.kind]
    if group in ("matmul", "conv"):
        tiles = -(-pixels // rows) * blocks
        return {"per_tile_depth": tiles * operator.in_shape[2] * taps, "per_pixel_block": pixels * blocks, "per_op": 1}
    if group == "depthwise":
        return {
            "per_tap": pixels * blocks * taps,
            "per_pixel_block": pixels * blocks,
            "per_pixel": pixels,
            "per_input_block": before * blocks,
            "per_op": 1,
        }
    passes = {"act": ACT_PASSES, "se": SE_PASSES}.get(operator.kind, 1)
    if group == "elementwise":
        return {"per_pixel_block": pixels * blocks * passes, "per_op": passes}
    return {"per_input_block": before * blocks * passes, "per_block": blocks * passes, "per_op": passes}


def instructions(operator: Operator, kernels: Engine) -> float:
    """Millions of instructions that the operator runs."""
    table = kernels.tables[GROUP[operator.kind]]
    steps = features(operator, int(table.get("rows", 1)), int(table.get("columns", 16)))
    return sum(count * table[step] for step, count in steps.items()) / 1e6


def operator_work(operator: Operator, kernels: Engine) -> tuple[float, float]:
    """(inside convolutions by matrix product, elsewhere), in millions of instructions, the latter weighted."""
    counted = instructions(operator, kernels)
    if GROUP[operator.kind] in ("matmul", "conv"):
        return counted, 0.0
    return 0.0, counted * kernels.elementwise_weight


def graph_work(graph: tuple[Operator, ...], kernels: Engine) -> tuple[float, float]:
    """`operator_work` summed over a network's operators."""
    each = [operator_work(operator, kernels) for operator in graph]
    return math.fsum(matmul for matmul, _ in each), math.fsum(other for _, other in each)


@lru_cache(maxsize=4096)
def variant_work(variant: Variant, name: str) -> tuple[float, float]:
    """`graph_work` of a variant on the engine of this name."""
    return graph_work(operators(variant), engine(name))
