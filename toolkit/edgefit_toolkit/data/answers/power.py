"""More of a sure answer than 256 steps can say: the file gives roots of its probabilities, its readers take powers.

The output of an int8 file has 256 steps, and a softmax that is sure leaves most pictures in the top two: which of them
is surer, and what is left for the other classes, is lost. At twice the temperature it gives q ~ sqrt(p), whose steps
lie 20 times closer where p nears 1 and reach down to p = 1/65536; p = q^2 / sum q^2. In the middle they are up to
twice as wide, and of very many classes the roots of small probabilities crowd out the large ones. So the power is
chosen by what it keeps of the float network's probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

POWERS = (1, 2)
STEPS = 256


def to_power(outputs: NDArray[Any], power: int) -> NDArray[np.float64]:
    """Probabilities float64 [N, classes] of outputs [N, classes].

    Squares and sums are made in the order of classes, so that every language finds the same.
    """
    found = np.array(outputs, np.float64)
    if power == 1:
        return found
    found *= found
    sums = np.cumsum(found, axis=1)[:, -1:]  # added one by one
    return np.divide(found, sums, out=np.zeros_like(found), where=sums > 0)


def best_power(logits: NDArray[Any]) -> int:
    """The power under which 256 steps lose the least of what these logits [N, classes], their temperature in them, say:
    by the mean divergence (Kullback and Leibler's) of what comes back from what went in."""
    return min(POWERS, key=lambda power: lost(logits, power))


def lost(logits: NDArray[Any], power: int) -> float:
    """Mean divergence, in nats, of what comes back through 256 steps at this power from the true probabilities."""
    true, softer = softmax(logits), softmax(np.asarray(logits, np.float64) / power)
    steps = np.rint(softer * STEPS).clip(0, STEPS - 1) / STEPS
    back = np.maximum(to_power(steps, power), (0.5 / STEPS) ** power)  # nothing is impossible: half a step is left
    back /= back.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(true > 0, true * np.log(true / back), 0.0)
    return float(terms.sum(1).mean())


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities float64 [N, classes] of logits [N, classes]."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, 1, keepdims=True)
    raised = np.exp(shifted)
    return np.asarray(raised / raised.sum(1, keepdims=True))
