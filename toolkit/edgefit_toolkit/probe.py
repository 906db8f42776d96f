"""The linear probe: multinomial logistic regression on pooled features, and the temperature of a softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

L2_GRID = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # strongest first: each fit starts from the one before
MAX_STEPS = 60  # L-BFGS steps of one fit; on 250 photographs x 9 views all but the weakest have converged by then


@dataclass(frozen=True)
class Probe:
    """A fitted linear classifier of raw (not standardised) features."""

    weight: Tensor  # [classes, C]
    bias: Tensor  # [classes]
    l2: float
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float

    def into(self, classifier: nn.Linear) -> None:
        """Writes it into the network's last layer, in place."""
        with torch.no_grad():
            classifier.weight.copy_(self.weight)
            classifier.bias.copy_(self.bias)


def fit_probe(
    features: Tensor,
    labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    classes: int,
    l2_grid: tuple[float, ...] = L2_GRID,
) -> Probe:
    """Full-batch fits on features [M, C], labels [M], one per L2 of the grid; the one with the lowest val loss.

    Features are standardised by the training set's mean and deviation while fitting, so that one L2 grid suits any
    network; the returned weights take them as they are. Views of one photograph are rows of their own.
    """
    mean = features.mean(0)
    deviation = features.std(0, correction=0) + 1e-3 * features.std(correction=0) + 1e-8
    scaled = (features - mean) / deviation
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    best: Probe | None = None
    for l2 in l2_grid:
        _minimise(weight, bias, scaled, labels, l2)
        with torch.no_grad():
            raw_weight = weight / deviation
            raw_bias = bias - raw_weight @ mean
            train_loss, train_top1 = score(F.linear(features, raw_weight, raw_bias), labels)
            val_loss, val_top1 = score(F.linear(val_features, raw_weight, raw_bias), val_labels)
        if best is None or val_loss < best.val_loss:
            best = Probe(raw_weight, raw_bias, l2, train_loss, train_top1, val_loss, val_top1)
    if best is None:
        raise ValueError("an empty L2 grid fits nothing")
    return best


def _minimise(weight: Tensor, bias: Tensor, scaled: Tensor, labels: Tensor, l2: float) -> None:
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(scaled, weight, bias), labels) + l2 / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]


def score(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in nats, and top-1 accuracy, of logits [N, classes]."""
    loss = F.cross_entropy(logits, labels).item()
    return loss, (logits.argmax(1) == labels).double().mean().item()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits that makes val confidences honest (Guo et al. 2017), between 1/4 and 4.

    The lowest cross-entropy on a grid of log T, with a prior around 1 that outweighs no more than a few pictures: a
    small val set that is all told right would otherwise ask for T = 0, certainty about everything.
    """
    grid = torch.linspace(-1.386294, 1.386294, 241, dtype=torch.float64)
    logits = logits.double()
    losses = torch.stack([F.cross_entropy(logits / t.exp(), labels, reduction="sum") for t in grid])
    return float(grid[(losses + grid.square() / (2 * 0.5**2)).argmin()].exp())
