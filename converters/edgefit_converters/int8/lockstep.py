"""Walks a float network and its int8 copy through one graph in step, and corrects the copy layer by layer.

Both see the same photographs. At each layer the copy's input already carries the rounding of everything before it, so
what is corrected is the error that really arrives; and since both are propagated once, the cost is two forward passes,
however many layers there are. Photographs join as the feature maps shrink: memory holds few at the first layers, while
the last ones, with the most weights and the fewest positions, profit from many. benchmarks/results/int8_choices.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edgefit_converters.int8.quantize import WEIGHT_LEVELS
from edgefit_converters.int8.ranges import Range, scale_of
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.torchgraph import Constants, Graph, Op
from edgefit_toolkit.interpreter import Pixels

MEMORY_BYTES = 1.5e9  # for activations: fewer photographs at a large resolution
LIVE = 6  # activations of the largest size that are alive at once: input and output of both nets, and copies
MAX_PHOTOS = 200
WORTH_JOINING = 1.5  # times as many photographs as before: each joining costs a concatenation
NEWTON_STEPS = 3
LEAST_SHARE = 0.02  # of a channel's values that pass, as the slope: a channel that hardly ever fires moves little
MIN_SCALE = 1e-12  # of a channel whose weights are all zero

Round = Callable[[Op, Constants, Tensor, Tensor, Tensor], Tensor]
"""(operator, its float constants, int8 copy's input, float output before activation, scale [out]) -> weights."""


@dataclass(frozen=True)
class Corrected:
    """Constants for an int8 model, as floats that lie on their grid, and the grid."""

    layers: dict[str, Constants]
    scales: dict[str, np.ndarray]  # [out], float32


def walk(graph: Graph, pixels: Pixels, ranges: Mapping[str, Range], round_weights: Round) -> Corrected:
    """Rounds every layer's weights by `round_weights`, then moves its bias so that each channel's mean output over the
    photographs is the float network's again (empirical bias correction after Nagel et al. 2019, section 4.2, but behind
    the activation: what ReLU6 cuts off is no error).

    pixels: uint8 [N, R, R, 3], of which MAX_PHOTOS are used at most, and at each layer as many as fit MEMORY_BYTES.
    """
    pixels, fit = _some(pixels), _fitting(graph, pixels)
    nets = _Pair(graph, ranges)
    shown = 0
    with torch.no_grad():
        for index, op in enumerate(graph.ops):
            enough = min(len(pixels), fit[index])
            if shown == 0 or enough >= WORTH_JOINING * shown or (enough == len(pixels) > shown):
                for start in range(shown, enough, fit[0]):
                    nets.join(pixels[start : min(start + fit[0], enough)], index)
                shown = enough
            if op.layer:
                nets.correct(op, round_weights)
            nets.advance(index, op)
    return Corrected(nets.corrected, nets.scales)


class _Pair:
    """The float network and its int8 copy, at one operator of the graph."""

    def __init__(self, graph: Graph, ranges: Mapping[str, Range]) -> None:
        self.graph, self.ranges, self.last_use = graph, ranges, graph.last_use()
        self.corrected: dict[str, Constants] = {}
        self.scales: dict[str, np.ndarray] = {}
        self.values: dict[str, Tensor] = {}
        self.int8_values: dict[str, Tensor] = {}

    def join(self, pixels: Pixels, index: int) -> None:
        """Brings more photographs to where the others are, before operator `index`."""
        newcomers = _Pair(self.graph, self.ranges)
        newcomers.corrected = self.corrected
        photos = torchgraph.image(pixels)
        newcomers.values = {"image": photos}
        newcomers.int8_values = {"image": photos}  # the input's range is exact: nothing is lost there
        for earlier, op in enumerate(self.graph.ops[:index]):
            newcomers.advance(earlier, op)
        for mine, theirs in ((self.values, newcomers.values), (self.int8_values, newcomers.int8_values)):
            for name, value in theirs.items():
                mine[name] = torch.cat((mine[name], value)) if name in mine else value

    def correct(self, op: Op, round_weights: Round) -> None:
        """Constants for the int8 copy's next operator."""
        inputs, int8_inputs = ([net[name] for name in op.inputs] for net in (self.values, self.int8_values))
        layer, linear = self.graph.layers[op.layer], replace(op, activation="")
        scale = weight_scale(layer.weight)
        value = torchgraph.run(linear, inputs, layer)
        weight = round_weights(op, layer, int8_inputs[0], value, scale)
        int8_value = torchgraph.run(linear, int8_inputs, Constants(weight, layer.bias))
        self.corrected[op.layer] = Constants(weight, layer.bias + _bias_shift(op, value, int8_value))
        self.scales[op.layer] = scale.numpy()

    def advance(self, index: int, op: Op) -> None:
        """Computes the next operator in both."""
        for net, layers in ((self.values, self.graph.layers), (self.int8_values, self.corrected)):
            value = torchgraph.run(op, [net[name] for name in op.inputs], layers.get(op.layer))
            net[op.name] = value if net is self.values else as_int8(value, self.ranges[op.name])
            for name in op.inputs:
                if self.last_use[name] == index:
                    net.pop(name, None)


def nearest(op: Op, layer: Constants, inputs: Tensor, target: Tensor, scale: Tensor) -> Tensor:
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


def _bias_shift(op: Op, value: Tensor, int8_value: Tensor) -> Tensor:
    """What the int8 copy's bias needs [out]; `int8_value` (before its activation) is moved by it in place.

    Newton's method on the mean behind the activation: its slope is the share of values that the activation lets pass.
    """
    total = torch.zeros(int8_value.shape[1])
    linear = not op.activation
    wanted = _channel_mean(value if linear else torchgraph.activate(op, value.clone()))
    for _ in range(1 if linear else NEWTON_STEPS):
        if linear:
            shift = wanted - _channel_mean(int8_value)
        else:
            passed = torchgraph.activate(op, int8_value.clone())
            share = _channel_mean((passed == int8_value).float())
            shift = (wanted - _channel_mean(passed)) / share.clamp_min(LEAST_SHARE)
            shift = torch.where(share > 0, shift, 0.0)
        int8_value += shift.view(1, -1, 1, 1) if int8_value.dim() == 4 else shift
        total += shift
    return total


def _channel_mean(values: Tensor) -> Tensor:
    return values.mean((0, 2, 3)) if values.dim() == 4 else values.mean(0)


def _some(pixels: Pixels) -> Pixels:
    """MAX_PHOTOS of them at most, evenly spread, in an order in which every beginning is spread as well."""
    n = min(len(pixels), MAX_PHOTOS)
    chosen = np.linspace(0, len(pixels) - 1, n).round().astype(int)
    spread: Pixels = pixels[np.random.default_rng(0).permutation(chosen)]
    return spread


def _fitting(graph: Graph, pixels: Pixels) -> list[int]:
    """How many photographs memory holds from each operator on."""
    with torch.no_grad():
        sizes = [value.numel() for value in _trace(graph, torchgraph.image(pixels[:1]))]  # the image's, then each op's
    alive = [max(sizes[index:]) for index in range(len(graph.ops))]
    return [max(1, int(MEMORY_BYTES / (4 * LIVE * size))) for size in alive]


def _trace(graph: Graph, photo: Tensor) -> list[Tensor]:
    values = {"image": photo}
    for op in graph.ops:
        values[op.name] = torchgraph.run(op, [values[n] for n in op.inputs], graph.layers.get(op.layer))
    return list(values.values())
