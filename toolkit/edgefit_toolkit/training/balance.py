"""The long tail: which class counts ask for balance, and logit adjustment (Menon et al. 2021), which gives it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ASKS_FROM = 10  # largest class / smallest: where the long-tailed benchmarks begin (CIFAR-LT of Cui et al. 2019)


def imbalance(counts: Sequence[int]) -> float:
    """Training pictures of the largest class by those of the smallest."""
    return max(counts) / max(min(counts), 1)


def asks_for_balance(counts: Sequence[int]) -> bool:
    """Whether each class is to count alike: where the largest has ASKS_FROM times the smallest's pictures or more."""
    return imbalance(counts) >= ASKS_FROM


def log_shares(labels: Tensor, classes: int) -> Tensor:
    """The logarithm of each class's share of the training pictures, [classes].

    Taken off the logits of a network that was trained by plain cross-entropy, it leaves the best answer where every
    class is as frequent as any other. Training on logits with it added, and leaving it off afterwards, comes to the
    same here: the classifier's bias, which no weight decay holds, takes it up.
    """
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (counts / counts.sum()).log()


def mean_recall(logits: Tensor, labels: Tensor) -> float:
    """The mean over the classes that occur in `labels` of the share told right, each class counting once."""
    return mean_share(logits.argmax(1) == labels, labels)


def mean_share(right: Tensor, labels: Tensor) -> float:
    """The same of what is known to be right, bool [N]."""
    counts = torch.bincount(labels)
    found = torch.bincount(labels, weights=right.double())
    return (found[counts > 0] / counts[counts > 0]).mean().item()
