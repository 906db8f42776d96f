"""Walks an int8 copy of a float network through its graph, layer by layer, and corrects it against the float network.

At each layer the copy's input already carries the rounding of everything before it, so what is corrected is the error
that really arrives; and since it is propagated once, the cost is one forward pass, however many layers there are. Of
the float network the channels' means are enough, which were observed with its ranges; it walks along only where a
rounding method asks for its outputs. Photographs join as the feature maps shrink: memory holds few at the first layers,
while the last ones, with the most weights and the fewest positions, profit from many.
benchmarks/results/int8_choices.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgefit_converters.int8.quantize import WEIGHT_LEVELS
from edgefit_converters.int8.ranges import Range, mean_places, scale_of
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.torchgraph import Constants, Graph, Op
from edgefit_toolkit.interpreter import Floats, Pixels

MEMORY_BYTES = 1.5e9  # for activations: fewer photographs at a large resolution
LIVE = 3  # activations of the largest size that are alive at once in one network: an input, an output and a copy
MAX_PHOTOS = 200
WORTH_JOINING = 1.5  # times as many photographs as before: each joining costs a concatenation
NEWTON_STEPS = 3
CACHED_VALUES = 2**16  # looked at at once: they stay in the cache through all that is asked of them
LEAST_SHARE = 0.02  # of a channel's values that pass, as the slope: a channel that hardly ever fires moves little
MIN_SCALE = 1e-12  # of a channel whose weights are all zero

Values = dict[str, Tensor]  # activation -> [N, C, H, W] or [N, C]
Round = Callable[[Op, Constants, Tensor, Tensor, Tensor], Tensor]
"""(operator, its float constants, int8 copy's input, float output before activation, scale [out]) -> weights."""


@dataclass(frozen=True)
class Corrected:
    """Constants for an int8 model, as floats that lie on their grid, and the grid."""

    layers: dict[str, Constants]
    scales: dict[str, np.ndarray]  # [out], float32


def walk(
    graph: Graph,
    pixels: Pixels,
    means: Mapping[str, Floats],
    ranges: Mapping[str, Range],
    round_weights: Round | None = None,
) -> Corrected:
    """Rounds every layer's weights (to the nearest, or by `round_weights`), then moves its bias so that each channel's
    mean output over the photographs is the float network's again (empirical bias correction after Nagel et al. 2019,
    section 4.2, but behind the activation: what ReLU6 cuts off is no error).

    pixels: uint8 [N, R, R, 3], of which MAX_PHOTOS are used at most, and at each layer as many as fit MEMORY_BYTES.
    means: of the float network's activations on the same photographs, [N, C] each (see ranges.Observed).
    """
    chosen = _some(len(pixels))
    nets = _Pair(graph, ranges, with_float=round_weights is not None)
    fit = _fitting(graph, pixels, nets.live)
    shown = 0
    with torch.no_grad():
        for index, op in enumerate(graph.ops):
            enough = min(len(chosen), fit[index])
            if shown == 0 or enough >= WORTH_JOINING * shown or (enough == len(chosen) > shown):
                for start in range(shown, enough, fit[0]):
                    nets.join(pixels[chosen[start : min(start + fit[0], enough)]], index)
                shown = enough
            if op.layer:
                nets.correct(index, op, torch.from_numpy(means[op.name][chosen[:shown]].mean(0)), round_weights)
            else:
                nets.advance(index, op)
    return Corrected(nets.corrected, nets.scales)


class _Pair:
    """The int8 copy at one operator of the graph, and the float network where it walks along."""

    def __init__(self, graph: Graph, ranges: Mapping[str, Range], *, with_float: bool) -> None:
        self.graph, self.ranges, self.last_use = graph, ranges, graph.last_use()
        self.corrected: dict[str, Constants] = {}
        self.scales: dict[str, np.ndarray] = {}
        self.int8: Values = {}
        self.float: Values | None = {} if with_float else None
        self.live = 2 * LIVE if with_float else LIVE

    def join(self, pixels: Pixels, index: int) -> None:
        """Brings more photographs to where the others are, before operator `index`."""
        newcomers = _Pair(self.graph, self.ranges, with_float=self.float is not None)
        newcomers.corrected = self.corrected
        newcomers.int8["image"] = photos = torchgraph.image(pixels)  # its range is exact: nothing is lost there
        if newcomers.float is not None:
            newcomers.float["image"] = photos
        for earlier, op in enumerate(self.graph.ops[:index]):
            newcomers.advance(earlier, op)
        for mine, theirs in ((self.int8, newcomers.int8), (self.float, newcomers.float)):
            if mine is not None and theirs is not None:
                mine |= {name: torch.cat((mine[name], own)) if name in mine else own for name, own in theirs.items()}

    def correct(self, index: int, op: Op, wanted: Tensor, round_weights: Round | None) -> None:
        """Constants for the next operator, and its output. wanted: mean of each channel behind the activation [C]."""
        layer, linear, target = self.graph.layers[op.layer], replace(op, activation=""), None
        inputs = [self.int8[name] for name in op.inputs]
        scale = weight_scale(layer.weight)
        if self.float is None or round_weights is None:
            weight = on_grid(layer.weight, scale)
        else:
            target = torchgraph.run(linear, [self.float[name] for name in op.inputs], layer)
            weight = round_weights(op, layer, inputs[0], target, scale)
        value = torchgraph.run(linear, inputs, Constants(weight, layer.bias))
        shift = _bias_shift(op, wanted, value)
        value += shift.view(1, -1, 1, 1) if value.dim() == 4 else shift
        self.corrected[op.layer] = Constants(weight, layer.bias + shift)
        self.scales[op.layer] = scale.numpy()
        self._keep(index, op, value, None if target is None else torchgraph.activate(op, target))

    def advance(self, index: int, op: Op) -> None:
        """Computes the next operator with the constants that it has."""
        linear, other = replace(op, activation=""), None  # rounding to the range of a ReLU's output is its activation
        value = torchgraph.run(linear, [self.int8[name] for name in op.inputs], self.corrected.get(op.layer))
        if self.float is not None:
            other = torchgraph.run(op, [self.float[name] for name in op.inputs], self.graph.layers.get(op.layer))
        self._keep(index, op, value, other)

    def _keep(self, index: int, op: Op, value: Tensor, other: Tensor | None) -> None:
        self.int8[op.name] = round_to_int8(value, self.ranges[op.name])
        if self.float is not None and other is not None:
            self.float[op.name] = other
        for name in op.inputs:
            if self.last_use[name] == index:
                self.int8.pop(name, None)
                if self.float is not None:
                    self.float.pop(name, None)


def weight_scale(weight: Tensor) -> Tensor:
    """The grid of each output channel [out]: largest weight / 127, as the quantizer takes it."""
    return (weight.abs().flatten(1).amax(1) / WEIGHT_LEVELS).clamp_min(MIN_SCALE)


def on_grid(weight: Tensor, scale: Tensor) -> Tensor:
    """The nearest weights on each output channel's grid."""
    step = scale.view(-1, *[1] * (weight.dim() - 1))
    return (weight / step).round().clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS) * step


def as_int8(values: Tensor, limits: Range) -> Tensor:
    """Rounds and clips an activation to its int8 grid, kept as floats; gradients pass as if nothing were rounded."""
    scale, zero_point = _grid(limits)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, -128, 127)


def round_to_int8(values: Tensor, limits: Range) -> Tensor:
    """The same values in place, without gradients, in a fraction of the time: a photograph stays in the cache."""
    scale, zero_point = _grid(limits)
    for photo in torch.split(values, 1):
        photo.mul_(1 / scale).round_().clamp_(-128 - zero_point, 127 - zero_point).mul_(scale)
    return values


def _grid(limits: Range) -> tuple[float, int]:
    scale = scale_of(limits)
    return scale, round(-128 - min(limits[0], 0.0) / scale)


def _bias_shift(op: Op, wanted: Tensor, value: Tensor) -> Tensor:
    """What the int8 copy's bias needs [C], for its output `value` before the activation.

    Newton's method on the mean behind the activation: its slope is the share of values that the activation lets pass.
    """
    if value.dim() == 4:
        value = value[:, :, mean_places(value.shape[2]), mean_places(value.shape[3])].permute(0, 2, 3, 1)
    rows = value.reshape(-1, len(wanted))
    if not op.activation:
        return wanted - rows.mean(0)
    parts = torch.split(rows, max(1, CACHED_VALUES // len(wanted)))
    total = torch.zeros_like(wanted)
    for _ in range(NEWTON_STEPS):
        mean, share = torch.zeros_like(wanted), torch.zeros_like(wanted)
        for part in parts:
            moved = part + total
            passed = torchgraph.activate(op, moved.clone())
            mean += passed.sum(0) / len(rows)
            share += (passed == moved).float().sum(0) / len(rows)
        total += torch.where(share > 0, (wanted - mean) / share.clamp_min(LEAST_SHARE), 0.0)
    return total


def _some(n: int) -> npt.NDArray[np.int64]:
    """MAX_PHOTOS of n at most, evenly spread, in an order in which every beginning is spread as well."""
    chosen = np.linspace(0, n - 1, min(n, MAX_PHOTOS)).round().astype(np.int64)
    return np.random.default_rng(0).permutation(chosen)


def _fitting(graph: Graph, pixels: Pixels, live: int) -> list[int]:
    """How many photographs memory holds from each operator on."""
    with torch.no_grad():
        photo = torchgraph.image(pixels[:1])
        sizes = [photo.numel(), *(value.numel() for _, value in graph.floats(photo))]
    alive = [max(sizes[index:]) for index in range(len(graph.ops))]
    return [max(1, int(MEMORY_BYTES / (4 * live * size))) for size in alive]
