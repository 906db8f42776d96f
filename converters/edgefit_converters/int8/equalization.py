"""Gives every channel of the residual streams its share of the 256 levels, without changing the function.

A stream is what the blocks of one stage hand on: outputs of projections and their sums, with no activation between
them and the expansions that read them. So a channel may be scaled by any factor where it is written and by its inverse
where it is read: the network stays the same to rounding, but channels with small values no longer drown in the steps
of large ones (cross-layer equalization, Nagel et al. 2019, on the only tensors of an EfficientNet where it is exact:
ReLU6 and swish are not linear in scale). What it gives: benchmarks/results/int8_choices.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.streams import streams
from edgefit_converters.tflite.torchgraph import Constants, Graph
from edgefit_toolkit.interpreter import Pixels

PHOTOS = 24  # that show the channels' ranges
POWER = 0.5  # half of the way to equal ranges: the rest would come back as uneven weights where the stream is read
LARGEST = 8.0  # factor of one channel


def equalize(graph: Graph, pixels: Pixels) -> Graph:
    """The same function with other constants. pixels: uint8 [N, R, R, 3], PHOTOS of which are used."""
    written = {op.name: op for op in graph.ops}
    layers = dict(graph.layers)
    largest = _largest(graph, pixels[np.linspace(0, len(pixels) - 1, min(PHOTOS, len(pixels))).astype(int)])
    for stream in streams(graph):
        readers = [op for op in graph.ops if op.kind != "ADD" and stream & set(op.inputs)]
        if any(op.kind != "CONV_2D" for op in readers):
            continue  # something else reads it: leave it alone
        reach = torch.stack([largest[name] for name in stream]).amax(0)
        factor = (reach.max() / reach.clamp_min(1e-9)).pow(POWER).clamp(1.0, LARGEST)
        for name in stream:
            if written[name].layer:
                old = layers[written[name].layer]
                layers[written[name].layer] = Constants(old.weight * factor.view(-1, 1, 1, 1), old.bias * factor)
        for op in readers:
            old = layers[op.layer]
            layers[op.layer] = replace(old, weight=old.weight / factor.view(1, -1, 1, 1))
    return replace(graph, layers=layers)


def _largest(graph: Graph, pixels: Pixels) -> dict[str, Tensor]:
    """Largest magnitude of every channel [C] of every activation."""
    with torch.no_grad():
        return {
            op.name: value.abs().amax((0, 2, 3)) if value.dim() == 4 else value.abs().amax(0)
            for op, value in graph.floats(torchgraph.image(pixels))
        }
