"""int8 and float on the same labelled photographs: who is right how often, and what is known of the difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.interpreter import Floats
from edgefit_toolkit.intervals import paired_interval

UNKNOWN = -1  # the label of a photograph whose label is not known, or is not to be looked at
LEAST_JUDGED = 20  # labelled photographs: with fewer, even a good model cannot be told from guessing
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Accuracy:
    """Counts over the photographs with a label. The 95% interval of the paired difference is Newcombe's."""

    n: int
    float_right: int
    int8_right: int
    lost: int  # float right, int8 wrong
    won: int  # int8 right, float wrong

    @property
    def float_top1(self) -> float:
        """Share that float answers right."""
        return self.float_right / self.n

    @property
    def int8_top1(self) -> float:
        """Share that int8 answers right."""
        return self.int8_right / self.n

    @property
    def difference(self) -> float:
        """int8 minus float; negative where int8 is worse."""
        return (self.int8_right - self.float_right) / self.n

    @property
    def difference_interval(self) -> tuple[float, float]:
        """Of the difference, which is known far better than either share: the photographs are the same."""
        both = self.int8_right - self.won
        return paired_interval(both, self.won, self.lost, self.n - both - self.won - self.lost)


def compare_accuracy(float_scores: Floats, int8_scores: Floats, labels: Labels) -> Accuracy | None:
    """Counts over scores [N, classes] and labels [N]; UNKNOWN ones are left out. None where no label is known."""
    known = labels != UNKNOWN
    if not known.any():
        return None
    truth = labels[known]
    float_answers, int8_answers = float_scores[known].argmax(1), int8_scores[known].argmax(1)
    float_right, int8_right = float_answers == truth, int8_answers == truth
    return Accuracy(
        n=len(truth),
        float_right=int(float_right.sum()),
        int8_right=int(int8_right.sum()),
        lost=int((float_right & ~int8_right).sum()),
        won=int((int8_right & ~float_right).sum()),
    )


def chance(answers: Labels, truth: Labels, classes: int) -> float:
    """Share of right answers expected of the same answers in random order (the chance term of Cohen's kappa).

    A model that always names the most frequent class gets exactly this, however frequent that class is.
    """
    shares = [np.bincount(values, minlength=classes) / len(truth) for values in (answers, truth)]
    return float(shares[0] @ shares[1])
