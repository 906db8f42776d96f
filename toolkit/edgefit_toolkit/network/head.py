"""A network's last layer: one linear layer, or two with few channels between them, of which fewer weights do.

Of very many classes the one layer outweighs all others: 1280 features x 10,000 classes are 12.8 million weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgefit_toolkit.network.linear_maps import subspace


class FactorizedLinear(nn.Module):
    """A linear layer of a given rank, as two: `reduce` [rank, in] and then `expand` [out, rank], each with a bias."""

    def __init__(self, in_features: int, rank: int, out_features: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(in_features, rank)
        self.expand = nn.Linear(rank, out_features)

    @property
    def rank(self) -> int:
        """How many channels there are between the two."""
        return self.reduce.out_features

    @property
    def in_features(self) -> int:
        """Of `reduce`."""
        return self.reduce.in_features

    @property
    def out_features(self) -> int:
        """Of `expand`."""
        return self.expand.out_features

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.expand(self.reduce(x))
        return out


Classifier = nn.Linear | FactorizedLinear


def new_classifier(features: int, classes: int, rank: int | None) -> Classifier:
    """One with PyTorch's random weights."""
    return nn.Linear(features, classes) if rank is None else FactorizedLinear(features, rank, classes)


def output_layer(classifier: Classifier) -> nn.Linear:
    """The layer that gives the logits: its weights and biases, times a number, are logits times that number."""
    return classifier if isinstance(classifier, nn.Linear) else classifier.expand


def full_layer(classifier: Classifier) -> nn.Linear:
    """The one linear layer that computes the same; the classifier itself where it is one."""
    if isinstance(classifier, nn.Linear):
        return classifier
    with torch.no_grad():
        reduce, expand = classifier.reduce, classifier.expand
        full = nn.Linear(reduce.in_features, expand.out_features)
        full.weight.copy_(expand.weight @ reduce.weight)
        full.bias.copy_(expand(reduce.bias))
    return full


def initialise_classifier(classifier: Classifier, generator: torch.Generator | None) -> None:
    """TensorFlow's: uniform weights, zero biases."""
    layer = output_layer(classifier)
    bound = 1.0 / math.sqrt(layer.out_features)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.zeros_(layer.bias)


class Factors:
    """The factorizations of one linear layer at every rank up to `most`.

    Of all layers of a rank each has the logits nearest to the full layer's on the given features [n, in], in the mean
    square over pictures and classes: principal components of the features, where an error counts by what the layer
    makes of it. What lies between the two layers has mean 0 and deviation 1, for int8 has one range for all of it.
    """

    def __init__(self, full: nn.Linear, features: Tensor, most: int) -> None:
        weight = full.weight.detach().double()
        encode, decode, _ = subspace(features, weight.T @ weight, most)  # the best last
        self._mean = features.double().mean(0)
        deviation = ((features.double() - self._mean) @ encode.double().T).square().mean(0).sqrt().clamp_min(1e-12)
        self._encode = encode.double() / deviation[:, None]  # [most, in]
        self._expand = weight @ decode.double() * deviation  # [out, most]
        self._offset = weight @ self._mean + full.bias.detach().double()

    def of_rank(self, rank: int) -> FactorizedLinear:
        """The one of that rank, 1 to `most`."""
        reduce, expand = self._encode[-rank:], self._expand[:, -rank:]
        made = FactorizedLinear(reduce.shape[1], rank, len(expand))
        with torch.no_grad():
            made.reduce.weight.copy_(reduce)
            made.reduce.bias.copy_(-reduce @ self._mean)
            made.expand.weight.copy_(expand)
            made.expand.bias.copy_(self._offset)
        return made
