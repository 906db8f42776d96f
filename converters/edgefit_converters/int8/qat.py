"""Quantization-aware training: the int8 copy learns the float network's answers, from photographs without labels.

The copy computes on the grids of the file to be: weights rounded per output channel, activations per tensor, gradients
passing both as if nothing were rounded (straight-through). It starts where learned rounding ended, and what it is
taught are the float network's logits (distillation: no labels, so it serves any classifier).
Small steps, few of them: most of what is left by then is the activations' own rounding, which no weight can undo, and
what is won is won on average, not value by value. Photographs that were held back, from learned rounding as well,
choose the state to keep, the start among them. benchmarks/results/int8_choices.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_converters.int8.lockstep import Corrected, as_int8
from edgefit_converters.int8.quantize import WEIGHT_LEVELS
from edgefit_converters.int8.ranges import Range, scale_of
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.torchgraph import Constants, Graph, Op
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.progress import Progress


@dataclass(frozen=True)
class Training:
    """How long and how fast."""

    images: int = 400  # shown in all, augmented
    batch: int = 8
    learning_rate: float = 0.01  # Adam's, in steps of the weights' grid; of biases in steps of the output's grid
    checks: int = 6  # how often they are asked
    smallest_crop: float = 0.7  # side of a random crop, of the picture's
    seed: int = 0


HELD_BACK = 0.2  # share of the calibration photographs that choose the state to keep


def train(
    graph: Graph,
    start: Corrected,
    ranges: Mapping[str, Range],
    pixels: Pixels,
    held_back: Pixels,
    settings: Training | None = None,
    on_progress: Progress | None = None,
) -> Corrected:
    """The start's constants, trained on `pixels`; on the same grids, and never worse on the photographs `held_back`.

    graph: the float network; both sorts of photographs are uint8 [N, R, R, 3], and `start` must not have seen those
    held back. Runs on CUDA where there is one. The same inputs give the same constants on one machine's CPU.
    """
    settings = settings or Training()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = Network(graph, None, {name: _moved(layer, device) for name, layer in graph.layers.items()})
    copy = Trained(graph, start, ranges, device)
    judge = _Judge(teacher, held_back, settings.batch, device)
    best_error, best = judge.error(copy.network()), copy.constants()
    steps = max(1, settings.images // settings.batch)
    optimizer = torch.optim.Adam(
        [*copy.weights.values(), *copy.biases.values()], settings.learning_rate, betas=(0.9, 0.99)
    )
    batches = _batches(pixels, settings, device)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        images = next(batches)
        with torch.no_grad():
            wanted = teacher.run(images)
        loss = _relative(copy.network().run(images), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        copy.clamp()
        if on_progress is not None:
            on_progress("quantization-aware training", step + 1, steps)
        if (step + 1) % max(1, steps // settings.checks) == 0 or step + 1 == steps:
            error = judge.error(copy.network())
            if error < best_error:
                best_error, best = error, copy.constants()
    return Corrected(best, start.scales)


def hold_back(n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which of n photographs to learn from and which to hold back, evenly spread; a single one is both."""
    everyone = np.arange(n)
    if n < 2:
        return everyone, everyone
    back = np.linspace(0, n - 1, max(1, round(HELD_BACK * n))).round().astype(np.int64)
    return np.delete(everyone, back), back


@dataclass(frozen=True)
class Network:
    """A graph with constants; with ranges its activations are rounded and clipped to int8."""

    graph: Graph
    ranges: Mapping[str, Range] | None
    layers: Mapping[str, Constants]

    def run(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 3, R, R] (see torchgraph.image)."""
        for _, value in self.graph.outputs(images, self._output):
            logits = value
        return logits

    def _output(self, op: Op, inputs: list[Tensor]) -> Tensor:
        value: Tensor = torchgraph.RUN[op.kind](op, inputs, self.layers.get(op.layer))
        if self.ranges is None:
            return torchgraph.activate(op, value)
        # the range of a ReLU's output begins at 0 and ends at 6 or below: rounding to int8 cuts off the rest itself
        return as_int8(value, self.ranges[op.name])


class Trained:
    """The copy's constants as parameters: weights in steps of their grid, biases in steps of their output's."""

    def __init__(self, graph: Graph, start: Corrected, ranges: Mapping[str, Range], device: torch.device) -> None:
        self.graph, self.ranges = graph, ranges
        self.scales: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}
        self.bias_steps = {op.layer: scale_of(ranges[op.name]) for op in graph.ops if op.layer}
        for name, layer in graph.layers.items():
            scale = torch.tensor(start.scales[name]).view(-1, *[1] * (layer.weight.dim() - 1))
            # on the grid's points, not where the float weights lay between them: near an edge chance flips those
            grid = (start.layers[name].weight / scale).round()
            self.scales[name] = scale.to(device)
            self.weights[name] = grid.to(device).requires_grad_()
            self.biases[name] = (start.layers[name].bias / self.bias_steps[name]).to(device).requires_grad_()

    def network(self) -> Network:
        """The copy as it stands, on its grids; gradients reach the parameters."""
        layers = {}
        for name, weight in self.weights.items():
            rounding = weight.detach().round() - weight.detach()
            layers[name] = Constants((weight + rounding) * self.scales[name], self.biases[name] * self.bias_steps[name])
        return Network(self.graph, self.ranges, layers)

    def constants(self) -> dict[str, Constants]:
        """The constants as they stand, on the CPU."""
        with torch.no_grad():
            return {name: _moved(layer, torch.device("cpu")) for name, layer in self.network().layers.items()}

    def clamp(self) -> None:
        """Keeps the weights on the grid's -127 to 127."""
        with torch.no_grad():
            for weight in self.weights.values():
                weight.clamp_(-WEIGHT_LEVELS, WEIGHT_LEVELS)


class _Judge:
    """The copy's error on photographs that it is not trained on."""

    def __init__(self, teacher: Network, pixels: Pixels, batch: int, device: torch.device) -> None:
        self.parts = torchgraph.image(pixels).to(device).split(batch)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.wanted = [teacher.run(part) for part in self.parts]

    def error(self, network: Network) -> float:
        """Noise of the logits, of their power."""
        with torch.no_grad():
            found = [network.run(part) for part in self.parts]
        return float(_relative(torch.cat(found), torch.cat(self.wanted)))


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).square().sum() / wanted.square().sum().clamp_min(1e-12)


def _batches(pixels: Pixels, settings: Training, device: torch.device) -> Iterator[Tensor]:
    """Endless batches [B, 3, R, R], mirrored and cropped at random, every photograph as often as any other."""
    chance = np.random.default_rng(settings.seed)
    size_px, waiting = pixels.shape[1], np.empty(0, int)
    while True:
        while len(waiting) < settings.batch:
            waiting = np.concatenate((waiting, chance.permutation(len(pixels))))
        chosen, waiting = waiting[: settings.batch], waiting[settings.batch :]
        images = torchgraph.image(pixels[chosen]).to(device)
        side = int(size_px * chance.uniform(settings.smallest_crop, 1))
        top, left = chance.integers(0, size_px - side + 1, 2)
        images = images[:, :, top : top + side, left : left + side]
        images = F.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True)
        if chance.random() < 0.5:
            images = images.flip(3)
        yield images.contiguous(memory_format=torch.channels_last)


def _moved(layer: Constants, device: torch.device) -> Constants:
    return Constants(layer.weight.detach().to(device), layer.bias.detach().to(device))
