"""Linear maps fitted to samples: by ridge regression, by dropping inputs, by keeping a subspace. Pure; float64 inside.

Samples are rows. Ridges are shares of the mean diagonal of the Gram matrix, so that they mean the same at any scale.
"""

from __future__ import annotations

import torch
from torch import Tensor


def refit(inputs: Tensor, wanted: Tensor, weight: Tensor, bias: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The affine map nearest to (weight, bias) that brings inputs [n, in] to wanted [n, out].

    Ridge regression on what the given map leaves over: where the samples do not decide, it stays. Returns weight
    [out, in] and bias [out] in the dtype of `weight`.
    """
    x, start = inputs.double(), weight.double()
    left_over = wanted.double() - (x @ start.T + bias.double())
    mean_x, mean_left = x.mean(0), left_over.mean(0)
    x = x - mean_x
    gram = x.T @ x
    change = torch.linalg.solve(_ridged(gram, ridge), x.T @ (left_over - mean_left)).T
    return (start + change).to(weight.dtype), (bias.double() + mean_left - change @ mean_x).to(weight.dtype)


def drop_inputs(inputs: Tensor, weight: Tensor, bias: Tensor, keep: int, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Which `keep` of the inputs [n, in] of an affine map (weight [out, in], bias [out]) stay, and the map for those.

    One at a time goes the input whose loss costs least after the others have made up for it as well as they can: the
    optimal brain surgeon (Hassibi & Stork 1993), exact for a linear map and squared errors. The bias makes up for the
    means. Returns ascending indices [keep], weight [out, keep] and bias [out] in the dtype of `weight`.
    """
    count = inputs.shape[1]
    if keep == count:
        return torch.arange(count, device=inputs.device), weight, bias
    x = inputs.double()
    x = x - x.mean(0)
    inverse = torch.linalg.inv(_ridged(x.T @ x, ridge))
    left = weight.double().clone()
    alive = torch.ones(count, dtype=torch.bool, device=inputs.device)
    for _ in range(count - keep):
        pivots = inverse.diagonal()
        cost = (left.square().sum(0) / pivots).masked_fill(~alive, torch.inf)
        gone = int(cost.argmin())
        row, column = inverse[gone] / pivots[gone], inverse[:, gone].clone()
        left -= torch.outer(left[:, gone], row)
        inverse -= torch.outer(column, row)
        alive[gone] = False
        inverse[gone, gone] = 1.0  # its row and column are zero now: keep the pivot out of the division
    kept = alive.nonzero()[:, 0]
    fewer = left[:, kept].to(weight.dtype)
    means = inputs.mean(0).to(weight.dtype)
    return kept, fewer, bias + weight @ means - fewer @ means[kept]


def subspace(samples: Tensor, metric: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `keep` linear combinations of samples [n, c] from which all others can be told best.

    Principal components, where an error e counts e @ metric @ e (metric [c, c], positive semi-definite: the Gram
    matrix of whatever reads the samples). Returns encode [keep, c], decode [c, keep] and offset [c], float32:
    sample ~ decode @ (encode @ sample) + offset. What is encoded is as large as the samples are on average.
    """
    x = samples.double()
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh(_ridged(metric.double(), 1e-6))
    root = vectors @ torch.diag(values.sqrt()) @ vectors.T
    unroot = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    centred = (x - mean) @ root
    _, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes[:, -keep:]
    encode, decode = axes.T @ root, unroot @ axes
    scale = _rms(x).mean() / _rms(x @ encode.T).clamp_min(1e-12)  # by its mean, too: int8 has one range for all
    encode, decode = encode * scale[:, None], decode / scale
    return encode.float(), decode.float(), (mean - decode @ (encode @ mean)).float()


def _rms(samples: Tensor) -> Tensor:
    return samples.square().mean(0).sqrt()


def _ridged(gram: Tensor, ridge: float) -> Tensor:
    floor = gram.diagonal().mean().clamp_min(1e-12)  # of dead inputs only: nothing to decide, and nothing to divide by
    return gram + ridge * floor * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
