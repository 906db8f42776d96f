"""The linear probe: multinomial logistic regression on pooled features, and the temperature of a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

L2_GRID = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # strongest first: each fit starts from the one before
GRID_CLASSES = 10  # up to here the grid is that one: see grid_for
PART_ROWS = 8192
SOFTER = 10  # see softer_probe
MAX_STEPS = 60  # L-BFGS steps of one fit; on 250 photographs x 9 views all but the weakest have converged by then


@dataclass(frozen=True)
class LinearProbe:
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


def grid_for(classes: int) -> tuple[float, ...]:
    """L2_GRID, weaker by as much as there are more classes: a class pulls at its own weights as seldom as it is met.

    17,307 pictures of 1,081 classes, three splits, Lite0: val loss .19 to .20 at .003, .10 to .11 at 3e-5, .11 to .13
    at 1e-5 (`results/long_tail_many.md`); 20 to 200 classes of few pictures each: `results/probe_grid.md`.
    """
    return tuple(l2 * min(1.0, GRID_CLASSES / classes) for l2 in L2_GRID)


def fit_probes(
    features: Tensor,
    labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    classes: int,
    l2_grid: Sequence[float] | None = None,
) -> tuple[LinearProbe, ...]:
    """Full-batch fits on features [M, C], labels [M]: one per L2 of the grid, in its order; None: that of `grid_for`.

    Features are standardised by the training set's mean and deviation while fitting, so that one L2 grid suits any
    network; the returned weights take them as they are. Views of one photograph are rows of their own.
    """
    mean = features.mean(0)
    deviation = features.std(0, correction=0) + 1e-3 * features.std(correction=0) + 1e-8
    scaled = (features - mean) / deviation
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    probes: list[LinearProbe] = []
    for l2 in grid_for(classes) if l2_grid is None else l2_grid:
        _minimise(weight, bias, scaled, labels, l2)
        with torch.no_grad():
            raw_weight = weight / deviation
            raw_bias = bias - raw_weight @ mean
            train = score(F.linear(features, raw_weight, raw_bias), labels)
            val = score(F.linear(val_features, raw_weight, raw_bias), val_labels)
        probes.append(LinearProbe(raw_weight, raw_bias, l2, *train, *val))
    return tuple(probes)


def best_probe(probes: Sequence[LinearProbe]) -> LinearProbe:
    """The one with the lowest val loss: val accuracy alone moves in steps of one picture."""
    return min(probes, key=lambda probe: probe.val_loss)


def softer_probe(probes: Sequence[LinearProbe], than: LinearProbe) -> LinearProbe:
    """One with SOFTER times the L2, as far as the grid goes: where fine-tuning starts.

    The best probe has learnt the training pictures by heart and leaves no gradient to the layers below. Lite2, flowers,
    5-fold cross-validation of the last two stages: val loss .182 after a soft start, .197 after the best probe's,
    .218 without fine-tuning.
    """
    return max((probe for probe in probes if probe.l2 <= than.l2 * SOFTER * 1.01), key=lambda probe: probe.l2)


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


def score_in_parts(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[float, float]:
    """The same of a linear classifier's logits, without all of them at a time."""
    loss, right = 0.0, 0.0
    for rows, truth in zip(torch.split(features, PART_ROWS), torch.split(labels, PART_ROWS), strict=True):
        part_loss, part_top1 = score(F.linear(rows.to(weight.device), weight, bias), truth.to(weight.device))
        loss, right = loss + part_loss * len(truth), right + part_top1 * len(truth)
    return loss / max(len(labels), 1), right / max(len(labels), 1)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits that makes val confidences honest (Guo et al. 2017), between 1/4 and 4.

    The lowest cross-entropy on a grid of log T, with a prior around 1 that outweighs no more than a few pictures: a
    small val set that is all told right would otherwise ask for T = 0, certainty about everything.
    """
    grid = torch.linspace(-1.386294, 1.386294, 241, dtype=torch.float64)
    logits = logits.double()
    losses = torch.stack([F.cross_entropy(logits / t.exp(), labels, reduction="sum") for t in grid])
    return float(grid[(losses + grid.square() / (2 * 0.5**2)).argmin()].exp())
