"""Rounding that keeps a layer's output, not its weights: each weight goes up or down as the photographs decide.

AdaRound's aim (Nagel et al. 2020) by coordinate descent instead of gradients. With X the layer's int8 inputs, Y the
float network's output and e = rounded - exact weight, the squared error over the photographs is quadratic in e:

    |X (w + e) - Y|^2 = e'He - 2 e'a + constant,    H = X'X,  a = X'(Y - X w)

so what flipping one weight gains is known exactly, and flips are taken, weight after weight, while any gains. `a` is
the error that arrives from the layers before: half of it is made good here. What else was tried:
benchmarks/results/int8_choices.md.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgefit_converters.int8.quantize import WEIGHT_LEVELS
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.torchgraph import Constants, Op
from edgefit_toolkit.interpreter import Floats

POSITIONS = 8192  # of a feature map over all photographs, drawn at random
DEPTHWISE_POSITIONS = 2048  # a channel alone has 9 or 25 weights to decide
ARRIVING = 0.5  # share of the arriving error to make good: the best of 0, .5 and 1 (int8_choices.md)
RIDGE = 0.1  # of H's mean diagonal, added to it: keeps weights that the photographs do not excite near their value
SWEEPS = 3  # over all weights; later ones flip next to nothing
BLOCK = 64  # inputs decided before the others hear of it: the same result in fewer and larger products


def adaptive(op: Op, layer: Constants, inputs: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Weights of the layer's shape, each rounded up or down on its output channel's grid `scale` [out].

    inputs: the int8 copy's; target: the float layer's output before its activation.
    """
    patches, wanted = _sample(op, layer, inputs, target)
    patches = patches - patches.mean(1, keepdim=True)  # means are the bias's business
    wanted = wanted - wanted.mean(1, keepdim=True)
    groups, positions, width = patches.shape
    weight = layer.weight.reshape(groups, -1, width)
    hessian = patches.transpose(1, 2) @ patches / positions
    arriving = (wanted - patches @ weight.transpose(1, 2)).transpose(1, 2) @ patches / positions
    ridge = RIDGE * hessian.diagonal(dim1=1, dim2=2).mean(1) + 1e-12
    hessian += torch.diag_embed(ridge[:, None].expand(groups, width))
    rounded = _descend(
        weight.flatten(0, 1).T.numpy(),
        np.ascontiguousarray(hessian.permute(1, 2, 0).numpy()),
        (ARRIVING * arriving).flatten(0, 1).T.numpy(),
        scale.numpy(),
    )
    return torch.from_numpy(rounded.T.copy()).reshape(layer.weight.shape)


def _sample(op: Op, layer: Constants, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What enters and what should leave the dot products at random positions.

    [groups, positions, inputs of a group] and [groups, positions, outputs of a group].
    """
    if layer.weight.dim() == 2:
        return inputs.flatten(1)[None], target[None]
    out, _, kernel_h, kernel_w = layer.weight.shape
    _, _, size_h, size_w = target.shape
    generator = torch.Generator().manual_seed(0)
    positions = DEPTHWISE_POSITIONS if op.groups > 1 else POSITIONS
    places = torch.randperm(len(inputs) * size_h * size_w, generator=generator)[:positions]
    photo, row, column = places // (size_h * size_w), places // size_w % size_h, places % size_w
    padded = torchgraph.pad(op, inputs, (kernel_h, kernel_w))
    taken = [
        padded[photo, :, row * op.stride[0] + dy, column * op.stride[1] + dx]
        for dy in range(kernel_h)
        for dx in range(kernel_w)
    ]
    patches, wanted = torch.stack(taken, 2), target[photo, :, row, column]  # [positions, channels, kernel], [.., out]
    if op.groups == out > 1:
        return patches.permute(1, 0, 2), wanted.T[:, :, None]
    return patches.flatten(1)[None], wanted[None]


def _descend(weight: Floats, hessian: Floats, pull: Floats, scale: Floats) -> Floats:
    """weight and pull [in, out], hessian [in, in, 1] or one per output [in, in, out], scale [out] -> rounded weights.

    In numpy: thousands of small steps, over which torch's threads would wait for each other.
    """
    low = np.clip(np.floor(weight / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS)
    high = np.minimum(low + 1, WEIGHT_LEVELS)
    now = np.where(weight / scale - low > 0.5, high, low)
    slope = _product(hessian, now * scale - weight) - pull  # half of the error's gradient
    order = np.argsort(-np.einsum("iio->i", hessian), kind="stable")  # the most excited inputs first
    for _ in range(SWEEPS):
        flips = 0
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            inside, slopes = hessian[np.ix_(block, block)], slope[block]
            moved = np.zeros_like(slopes)
            for i, at in enumerate(block):
                other = low[at] + high[at] - now[at]
                move = (other - now[at]) * scale
                gains = move * (move * inside[i, i] + 2 * slopes[i]) < 0
                if not gains.any():
                    continue
                flips += int(gains.sum())
                moved[i] = np.where(gains, move, 0)
                now[at] = np.where(gains, other, now[at])
                slopes += inside[:, i] * moved[i]
            slope += _product(hessian[:, block], moved)
        if flips < 1e-3 * now.size:
            break
    return np.asarray(now * scale, np.float32)


def _product(hessian: Floats, values: Floats) -> Floats:
    """[n, in, 1 or out] times [in, out]: one matrix for all outputs, or one for each."""
    if hessian.shape[2] == 1:
        return np.asarray(hessian[:, :, 0] @ values)
    return np.asarray(np.einsum("nio,io->no", hessian, values))
