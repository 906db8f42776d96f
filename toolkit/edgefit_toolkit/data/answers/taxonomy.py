"""Answers on a tree of names: probabilities are summed up it, and the deepest node that is sure enough is the answer.

Pure. Sums are of 64-bit floats in the order of the nodes, equal sums go to the first node, a threshold is passed when
it is met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASS = "class"  # the finest rank
LEAST = 0.5  # below this probability everything else together is likelier

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Node:
    """A class, or what several of them are together."""

    name: str
    rank: int  # index into Taxonomy.ranks
    parent: int = -1  # index into Taxonomy.nodes, always a later one of a coarser rank; -1: none
    names: Mapping[str, str] = field(default_factory=dict)  # language -> as people call it


@dataclass(frozen=True)
class Taxonomy:
    """A tree over a model's classes. `nodes` holds the classes in the model's order, then each coarser rank."""

    ranks: tuple[str, ...]  # CLASS first, then from fine to coarse
    nodes: tuple[Node, ...]

    @classmethod
    def of_classes(cls, names: Sequence[str]) -> Taxonomy:
        """Classes with nothing above them."""
        return cls((CLASS,), tuple(Node(name, 0) for name in names))

    def with_class(self, name: str) -> Taxonomy:
        """The tree with one class more, the last one, with nothing above it."""
        at = self.spans[0].stop
        moved = [replace(node, parent=node.parent + (node.parent >= 0)) for node in self.nodes]
        return Taxonomy(self.ranks, (*moved[:at], Node(name, 0), *moved[at:]))

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Where in `nodes` each rank stands."""
        ranks = np.array([node.rank for node in self.nodes])
        edges = np.searchsorted(ranks, range(len(self.ranks) + 1)).tolist()
        return tuple(slice(low, high) for low, high in pairwise(edges))

    @cached_property
    def above(self) -> Indices:
        """int64 [classes, ranks]: the node that a class belongs to at a rank, itself at CLASS; -1 where it has none."""
        table = np.full((self.spans[0].stop, len(self.ranks)), -1)
        for label in range(len(table)):
            at = label
            while at >= 0:
                table[label, self.nodes[at].rank] = at
                at = self.nodes[at].parent
        return table

    def held(self, labels: Sequence[int]) -> Indices:
        """int64 [nodes]: how many of these classes lie below each node, a class itself."""
        below = self.above[labels]
        return np.bincount(below[below >= 0], minlength=len(self.nodes))

    def sums(self, probabilities: NDArray[Any]) -> Doubles:
        """float64 [N, nodes] of probabilities [N, classes]: what lies below each node, at most 1.

        A parent's sum is never smaller than its child's.
        """
        found = np.zeros((len(probabilities), len(self.nodes)))
        found[:, : probabilities.shape[1]] = probabilities
        for at, node in enumerate(self.nodes):
            if node.parent >= 0:
                found[:, node.parent] += found[:, at]
        return np.minimum(found, 1.0)  # uint8 probabilities may add up to a little more

    def likeliest(self, sums: Doubles, rank: int) -> tuple[Indices, Doubles]:
        """The likeliest node of a rank on each picture, and its sum; sums are [N, nodes]. The rank must hold nodes."""
        span = self.spans[rank]
        best = sums[:, span].argmax(1)
        return best + span.start, sums[np.arange(len(sums)), best + span.start]

    def answers(self, sums: Doubles, thresholds: Mapping[str, float]) -> Indices:
        """The node that answers each picture: the likeliest one of the finest rank whose threshold its sum meets.

        -1: not sure. A rank without a threshold never answers.
        """
        found = np.full(len(sums), -1)
        for rank, name in enumerate(self.ranks):
            if name in thresholds:
                node, share = self.likeliest(sums, rank)
                found = np.where((found < 0) & (share >= thresholds[name]), node, found)
        return found

    def right(self, answers: Indices, truth: Indices) -> NDArray[np.bool_]:
        """Whether each picture's node holds its true class; -1 never does."""
        ranks = np.array([node.rank for node in self.nodes])[answers]
        found: NDArray[np.bool_] = (answers >= 0) & (self.above[truth, ranks] == answers)
        return found

    def thresholds(self, sums: Doubles, truth: Indices, wanted: float) -> dict[str, float]:
        """Rank -> the lowest sum, from LEAST on, that answers at that rank, so that `wanted` of its answers are right.

        Each rank is judged on the pictures that the finer ones leave unanswered. A rank where no sum is enough, or
        that nothing is left for, has no threshold.
        """
        left, found = np.full(len(sums), True), dict[str, float]()
        for rank, name in enumerate(self.ranks):
            node, share = self.likeliest(sums, rank)
            judged = left & (share >= LEAST)
            lowest = lowest_confidence(share[judged].tolist(), self.right(node, truth)[judged].tolist(), wanted)
            if lowest is not None:
                found[name] = LEAST if lowest == share[judged].min() else lowest
                left &= share < found[name]
        return found


def lowest_confidence(confidence: Sequence[float], correct: Sequence[bool], wanted: float) -> float | None:
    """The lowest confidence from which on at least `wanted` of the answers are right; None where none is enough."""
    threshold, right = None, 0
    ranked = sorted(zip(confidence, correct, strict=True), key=lambda answer: -float(answer[0]))
    for n, (sure, ok) in enumerate(ranked, start=1):
        right += bool(ok)
        tied = n < len(ranked) and ranked[n][0] == sure  # equal confidences are accepted together or not at all
        if not tied and right >= wanted * n:
            threshold = float(sure)
    return threshold
