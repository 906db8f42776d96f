"""Walks a float network and its int8 twin through one graph in step, and mends the twin layer by layer.

Both see the same photographs. At each layer the twin's input already carries the rounding of everything before it, so
what is mended is the error that really arrives; and since both are propagated once, the cost is two forward passes,
however many layers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edgefit_toolkit.interpreter import Pixels

from . import torchgraph
from .quantize import WEIGHT_LEVELS
from .ranges import Range, scale_of
from .torchgraph import Graph, Layer, Op

MEMORY_BYTES = 1.5e9  # for activations: fewer photographs at a large resolution
LIVE = 6  # activations of the largest size that are alive at once: input and output of both nets, and copies
MAX_PHOTOS = 48
NEWTON_STEPS = 3
LEAST_SHARE = 0.02  # of a channel's values that pass, as the slope: a channel that hardly ever fires moves little
MIN_SCALE = 1e-12  # of a channel whose weights are all zero

Round = Callable[[Op, Layer, Tensor, Tensor, Tensor], Tensor]
"""(operator, its float constants, the twin's input, the float output before activation, scale [out]) -> weights."""


@dataclass(frozen=True)
class Mended:
    """Constants for an int8 model, as floats that lie on their grid, and the grid."""

    layers: dict[str, Layer]
    scales: dict[str, np.ndarray]  # [out], float32


def walk(graph: Graph, pixels: Pixels, ranges: Mapping[str, Range], round_weights: Round) -> Mended:
    """Rounds every layer's weights by `round_weights`, then moves its bias so that each channel's mean output over the
    photographs is the float network's again (empirical bias correction after Nagel et al. 2019, section 4.2, but behind
    the activation: what ReLU6 cuts off is no error, and correcting for it cost Lite1 7 dB).

    pixels: uint8 [N, R, R, 3], of which as many are used as fit MEMORY_BYTES, MAX_PHOTOS at most.
    """
    photos = torchgraph.image(_some(pixels, graph))
    values: dict[str, Tensor] = {"image": photos}
    twins: dict[str, Tensor] = {"image": photos}  # the input's range is exact: nothing is lost there
    last_use = graph.last_use()
    mended: dict[str, Layer] = {}
    scales: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for index, op in enumerate(graph.ops):
            inputs, twin_inputs = [values[n] for n in op.inputs], [twins[n] for n in op.inputs]
            if op.layer:
                layer, linear = graph.layers[op.layer], replace(op, activation="")
                scale = weight_scale(layer.weight)
                value = torchgraph.run(linear, inputs, layer)
                rounded = Layer(round_weights(op, layer, twin_inputs[0], value, scale), layer.bias)
                twin = torchgraph.run(linear, twin_inputs, rounded)
                shift = _bias_shift(op, value, twin)
                mended[op.layer] = Layer(rounded.weight, layer.bias + shift)
                scales[op.layer] = scale.numpy()
                value, twin = torchgraph.activate(op, value), torchgraph.activate(op, twin)
            else:
                value, twin = torchgraph.run(op, inputs), torchgraph.run(op, twin_inputs)
            values[op.name], twins[op.name] = value, as_int8(twin, ranges[op.name])
            for name in op.inputs:
                if last_use[name] == index:
                    values.pop(name, None)
                    twins.pop(name, None)
    return Mended(mended, scales)


def nearest(op: Op, layer: Layer, inputs: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Plain rounding: what the quantizer does by itself."""
    return on_grid(layer.weight, scale)


def weight_scale(weight: Tensor) -> Tensor:
    """The grid of each output channel [out]: largest weight / 127, as the quantizer takes it."""
    return (weight.abs().flatten(1).amax(1) / WEIGHT_LEVELS).clamp_min(MIN_SCALE)


def on_grid(weight: Tensor, scale: Tensor) -> Tensor:
    """The nearest weights on each output channel's grid."""
    step = scale.view(-1, *[1] * (weight.dim() - 1))
    return (weight / step).round().clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS) * step


def as_int8(values: Tensor, limits: Range) -> Tensor:
    """Rounds and clips an activation to its int8 grid, kept as floats."""
    scale = scale_of(limits)
    zero_point = round(-128 - min(limits[0], 0.0) / scale)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, -128, 127)


def _bias_shift(op: Op, value: Tensor, twin: Tensor) -> Tensor:
    """What the twin's bias needs [out]; `twin` (before its activation) is moved by it in place.

    Newton's method on the mean behind the activation: its slope is the share of values that the activation lets pass.
    """
    total = torch.zeros(twin.shape[1])
    linear = not op.activation
    wanted = _channel_mean(value if linear else torchgraph.activate(op, value.clone()))
    for _ in range(1 if linear else NEWTON_STEPS):
        if linear:
            shift = wanted - _channel_mean(twin)
        else:
            passed = torchgraph.activate(op, twin.clone())
            share = _channel_mean((passed == twin).float())
            shift = (wanted - _channel_mean(passed)) / share.clamp_min(LEAST_SHARE)
            shift = torch.where(share > 0, shift, 0.0)
        twin += shift.view(1, -1, 1, 1) if twin.dim() == 4 else shift
        total += shift
    return total


def _channel_mean(values: Tensor) -> Tensor:
    return values.mean((0, 2, 3)) if values.dim() == 4 else values.mean(0)


def _some(pixels: Pixels, graph: Graph) -> Pixels:
    """As many photographs as memory allows, evenly spread."""
    with torch.no_grad():
        largest = max(value.numel() for value in _trace(graph, torchgraph.image(pixels[:1])))
    fit = int(MEMORY_BYTES / (4 * LIVE * largest))
    n = max(1, min(len(pixels), fit, MAX_PHOTOS))
    chosen: Pixels = pixels[np.linspace(0, len(pixels) - 1, n).round().astype(int)]
    return chosen


def _trace(graph: Graph, photo: Tensor) -> list[Tensor]:
    values = {"image": photo}
    for op in graph.ops:
        values[op.name] = torchgraph.run(op, [values[n] for n in op.inputs], graph.layers.get(op.layer))
    return list(values.values())
