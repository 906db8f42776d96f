"""A float .tflite's graph in PyTorch, operator by operator, on a whole batch: where int8 is corrected beforehand.

Working on the file's own graph keeps names, order and padding those of the deployed model, whichever route made it.
Activations are NCHW in channels-last memory (dense ones [N, C]); weights are [out, in / groups, kh, kw] or [out, in].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_converters.tflite import flatfile
from edgefit_converters.tflite.flatfile import WEIGHTED, FlatModel, schema
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True)
class Constants:
    """The constants of one operator with weights."""

    weight: Tensor  # [out, in / groups, kh, kw] or [out, in]
    bias: Tensor  # [out]


@dataclass(frozen=True)
class Op:
    """One operator. `name` is its output's name, `layer` the name of its weights' layer."""

    kind: str
    name: str
    inputs: tuple[str, ...]  # activations
    layer: str = ""
    stride: tuple[int, int] = (1, 1)
    same: bool = True  # TensorFlow's SAME padding; else none
    groups: int = 1
    activation: str = ""  # "", "RELU6", "RELU"


@dataclass(frozen=True)
class Graph:
    """The operators from `image` to the logits (the softmax is left out), and their constants."""

    ops: tuple[Op, ...]
    layers: dict[str, Constants]

    def last_use(self) -> dict[str, int]:
        """Activation name -> index of the last operator that reads it."""
        return {name: index for index, op in enumerate(self.ops) for name in op.inputs}

    def outputs(self, image: Tensor, compute: Callable[[Op, list[Tensor]], Tensor]) -> Iterator[tuple[Op, Tensor]]:
        """Every operator with what `compute` makes of its inputs, kept no longer than a later one reads it."""
        values, last_use = {"image": image}, self.last_use()
        for index, op in enumerate(self.ops):
            values[op.name] = compute(op, [values[name] for name in op.inputs])
            yield op, values[op.name]
            for name in op.inputs:
                if last_use[name] == index:
                    values.pop(name, None)

    def floats(self, image: Tensor) -> Iterator[tuple[Op, Tensor]]:
        """`outputs` of the float network itself."""
        return self.outputs(image, lambda op, inputs: run(op, inputs, self.layers.get(op.layer)))


def read_graph(float_path: str | Path) -> Graph:
    """The graph of a float .tflite. Raises ConversionError for an operator that no EfficientNet has."""
    flat = FlatModel.read(float_path)
    ops, layers = [], {}
    for operator in flat.graph.operators:
        kind, name = flat.kind(operator), flat.name(operator.outputs[0])
        if kind == "SOFTMAX":
            break
        if kind not in RUN:
            raise ConversionError(f"{Path(float_path).name} has a {kind} operator, which edgefit cannot mend int8 for")
        inputs = tuple(flat.name(t) for t in operator.inputs if t >= 0 and not flat.is_constant(t))
        if kind not in WEIGHTED:
            ops.append(Op(kind, name, inputs, activation=_activation(operator)))
            continue
        layer = flat.name(operator.inputs[1]).removesuffix("/weight")
        weight = torch.tensor(flat.constant(operator.inputs[1]))
        layers[layer] = Constants(_from_tflite(weight, kind), torch.tensor(flat.constant(operator.inputs[2])))
        options = operator.builtinOptions
        if kind == "FULLY_CONNECTED":
            ops.append(Op(kind, name, inputs, layer, activation=_activation(operator)))
            continue
        ops.append(
            Op(
                kind,
                name,
                inputs,
                layer,
                stride=(options.strideH, options.strideW),
                same=options.padding == schema.Padding.SAME,
                groups=weight.shape[3] if kind == "DEPTHWISE_CONV_2D" else 1,
                activation=_activation(operator),
            )
        )
    return Graph(tuple(ops), layers)


def write_layers(float_path: str | Path, layers: Mapping[str, Constants], out_path: str | Path) -> None:
    """A copy of a float .tflite with other constants in some layers."""
    flat = FlatModel.read(float_path)
    for operator, kind in flat.weighted():
        layer = layers.get(flat.name(operator.inputs[1]).removesuffix("/weight"))
        if layer is not None:
            flat.set_constant(operator.inputs[1], to_tflite(layer.weight, kind).numpy())
            flat.set_constant(operator.inputs[2], layer.bias.numpy())
    flatfile.write(out_path, flat.to_bytes())


def image(pixels: Pixels) -> Tensor:
    """uint8 [N, R, R, 3] -> float32 [N, 3, R, R] as the network sees it, channels-last."""
    values = (torch.from_numpy(pixels).float() - PIXEL_MEAN) / PIXEL_STD
    return values.permute(0, 3, 1, 2)


def run(op: Op, inputs: list[Tensor], layer: Constants | None = None) -> Tensor:
    """One operator on a whole batch, its activation included."""
    return activate(op, RUN[op.kind](op, inputs, layer))


def activate(op: Op, x: Tensor) -> Tensor:
    """The operator's fused activation, in place."""
    return x.clamp_(0, 6) if op.activation == "RELU6" else x.relu_() if op.activation == "RELU" else x


def padding(op: Op, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int, int, int]:
    """TensorFlow's SAME padding: left, right, top, bottom."""
    if not op.same:
        return (0, 0, 0, 0)
    down, across = (
        max((-(-s // stride) - 1) * stride + k - s, 0) for s, k, stride in zip(size, kernel, op.stride, strict=True)
    )
    return (across // 2, across - across // 2, down // 2, down - down // 2)


def pad(op: Op, x: Tensor, kernel: tuple[int, int]) -> Tensor:
    """The input of a convolution with its padding around it."""
    sides = padding(op, (x.shape[2], x.shape[3]), kernel)
    return F.pad(x, sides) if any(sides) else x


def _convolve(op: Op, inputs: list[Tensor], layer: Constants | None) -> Tensor:
    if layer is None:
        raise ValueError(f"{op.kind} needs its layer")
    x, kernel = inputs[0], (layer.weight.shape[2], layer.weight.shape[3])
    left, right, top, bottom = padding(op, (x.shape[2], x.shape[3]), kernel)
    if (left, top) != (right, bottom):
        x, left, top = F.pad(x, (left, right, top, bottom)), 0, 0
    return F.conv2d(x, layer.weight, layer.bias, op.stride, (top, left), groups=op.groups)


def _dense(op: Op, inputs: list[Tensor], layer: Constants | None) -> Tensor:
    if layer is None:
        raise ValueError(f"{op.kind} needs its layer")
    return F.linear(inputs[0].flatten(1), layer.weight, layer.bias)


RUN: dict[str, Any] = {
    "CONV_2D": _convolve,
    "DEPTHWISE_CONV_2D": _convolve,
    "FULLY_CONNECTED": _dense,
    "ADD": lambda op, inputs, layer: inputs[0] + inputs[1],
    "MUL": lambda op, inputs, layer: inputs[0] * inputs[1],
    "LOGISTIC": lambda op, inputs, layer: torch.sigmoid(inputs[0]),
    "MEAN": lambda op, inputs, layer: inputs[0].mean((2, 3), keepdim=True),
    "SUM": lambda op, inputs, layer: inputs[0].sum((2, 3), keepdim=True),  # what a mean over one pixel is written as
}


def _activation(operator: Any) -> str:
    code = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    names = {v: k for k, v in vars(schema.ActivationFunctionType).items() if isinstance(v, int)}
    return "" if names[code] == "NONE" else str(names[code])


def _from_tflite(weight: Tensor, kind: str) -> Tensor:
    if kind == "CONV_2D":
        return weight.permute(0, 3, 1, 2).contiguous()
    return weight.permute(3, 0, 1, 2).contiguous() if kind == "DEPTHWISE_CONV_2D" else weight


def to_tflite(weight: Tensor, kind: str) -> Tensor:
    """A weight in TFLite's layout: OHWI, 1HWO for depthwise, [out, in] for a dense layer."""
    if kind == "CONV_2D":
        return weight.permute(0, 2, 3, 1).contiguous()
    return weight.permute(1, 2, 3, 0).contiguous() if kind == "DEPTHWISE_CONV_2D" else weight
