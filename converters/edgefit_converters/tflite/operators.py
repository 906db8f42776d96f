"""The operators of any .tflite as the layers that the latency predictor knows; the ones that it does not, by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_converters.tflite.inspect import FILE_IDENTIFIER
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.graph import Operator, OperatorKind
from edgefit_toolkit.records import Precision

Shape = tuple[int, int, int]  # height, width, channels

KINDS: dict[str, OperatorKind] = {  # TFLite's operator -> the kernel that is nearest to it
    "DEPTHWISE_CONV_2D": "depthwise",
    "CONV_2D": "conv",
    "TRANSPOSE_CONV": "conv",
    "FULLY_CONNECTED": "fc",
    "BATCH_MATMUL": "fc",
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU"), "add"),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "ABS", "NEG", "QUANTIZE", "PAD", "PADV2"), "add"),
    **dict.fromkeys(("CONCATENATION", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_DEPTH"), "add"),
    **dict.fromkeys(("STRIDED_SLICE", "SLICE", "SPLIT", "TRANSPOSE", "DEPTH_TO_SPACE", "MIRROR_PAD"), "add"),
    **dict.fromkeys(("HARD_SWISH", "LOGISTIC", "TANH", "ELU", "GELU", "EXP", "SQRT", "RSQRT", "SOFTMAX"), "act"),
    **dict.fromkeys(("MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "SUM", "REDUCE_MAX", "L2_NORMALIZATION"), "pool"),
}
FREE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE", "DELEGATE")  # no pass over the data


@dataclass(frozen=True)
class Operators:
    """What one inference of a file runs."""

    layers: tuple[Operator, ...]  # in order; `name` is TFLite's operator
    unknown: dict[str, int]  # kind of operator that the predictor has no cost for -> how many
    precision: Precision  # what most of the multiply-adds compute in


def read_operators(path: Path) -> Operators:
    """Read the first subgraph. Raises InputError for a file that is missing, no .tflite or without fixed shapes."""
    if not path.is_file():
        raise InputError(f"there is no file {path}", "hand over a .tflite model, lite0..lite4, b0..b7 or a phi")
    content = path.read_bytes()
    if content[4:8] != FILE_IDENTIFIER:
        raise InputError(f"{path} is not a .tflite model", "hand over a .tflite file, lite0..lite4, b0..b7 or a phi")
    flat = FlatModel(content)
    layers, unknown = [], Counter[str]()
    madds = Counter[str]()
    constants = _folded(flat)
    for operator in flat.graph.operators:
        kind = flat.kind(operator)
        if kind in FREE or all(tensor in constants for tensor in operator.outputs):
            continue
        if kind == "DEQUANTIZE" or kind == "CAST":
            layers.append(_layer(flat, operator, "add", kind))
        elif kind in KINDS:
            layer = _layer(flat, operator, KINDS[kind], kind)
            layers.append(layer)
            madds[flat.dtype(operator.outputs[0])] += layer.madds
        else:
            unknown[kind] += 1
    quantized = sum(count for dtype, count in madds.items() if dtype in ("int8", "uint8", "int16", "int32"))
    precision: Precision = "int8" if 2 * quantized > sum(madds.values()) else "float32"
    return Operators(tuple(layers), dict(unknown), precision)


def _folded(flat: FlatModel) -> set[int]:
    """Tensors that are known before the first inference: weights kept as float16, unpacked once."""
    known = {index for index in range(len(flat.graph.tensors)) if flat.is_constant(index)}
    for operator in flat.graph.operators:
        if flat.kind(operator) in ("DEQUANTIZE", "DENSIFY") and operator.inputs[0] in known:
            known.update(int(tensor) for tensor in operator.outputs)
    return known


def _layer(flat: FlatModel, operator: Any, kind: OperatorKind, name: str) -> Operator:
    before = _shape(flat, operator.inputs[2 if name == "TRANSPOSE_CONV" else 0])
    after = _shape(flat, operator.outputs[0])
    kernel, work, params = 1, 0, 0
    if kind in ("conv", "depthwise", "fc"):
        weights = [int(size) for size in flat.graph.tensors[operator.inputs[1]].shape]
        params = prod(weights)
        kernel = weights[1] if len(weights) == 4 else 1
        pixels = before if name == "TRANSPOSE_CONV" else after
        work = params * pixels[0] * pixels[1]
        if name == "BATCH_MATMUL":
            work = prod(after) * before[2]
        if kind == "conv" and weights[1:3] == [1, 1]:
            kind = "pointwise"
    if name == "TRANSPOSE_CONV":  # its work is that of a convolution over the smaller side
        before, after = (before[0], before[1], before[2]), (before[0], before[1], after[2])
    stride = int(getattr(operator.builtinOptions, "strideH", 1) or 1)
    return Operator(name, kind, 0, before, after, kernel, stride, work, params)


def _shape(flat: FlatModel, tensor: int) -> Shape:
    """(height, width, channels) of one inference; axes that are missing are 1, more than four are joined."""
    raw = flat.graph.tensors[tensor].shape
    sizes = [] if raw is None else [int(size) for size in raw]
    if any(size < 1 for size in sizes):
        raise InputError(
            f"{flat.name(tensor)} has shape {sizes}: not fixed", "convert the model with a fixed batch of 1"
        )
    if len(sizes) < 3:
        return (1, 1, prod(sizes)) if len(sizes) < 2 else (sizes[0], 1, sizes[1])
    return (prod(sizes[:-2]), sizes[-2], sizes[-1])
