"""Find the largest network under a budget by measuring: few measurements, each corrected by the one before.

A measurement costs a conversion and seconds of device time, so the predictor says where to look. Each result corrects
it (measured / predicted, nearest first); the walk ends when it holds a bracket: the pick was measured to fit, and the
next larger network was measured not to.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.plan import Candidate, Plan, check_budget
from edgefit_toolkit.records import Budget, Latency, Variant

Measurer = Callable[[Variant], Latency]

MAX_NETWORKS = 8  # measured at most; a good predictor needs two to four
NEAR_BUDGET = 0.03  # relative: closer than this, one measurement decides nothing
NEAR_REPEATS = 3  # measurements of one network near the budget; their median decides


@dataclass(frozen=True)
class Bracket:
    """What was measured, and what it says."""

    pick: Candidate  # measured: fits
    next: Candidate | None  # measured: does not fit; None when the largest network fits
    measured: tuple[Candidate, ...]  # in the order of measuring
    closed: bool  # nothing lies between pick and next
    notes: tuple[str, ...] = ()


def bracket(
    budget: Budget,
    predicted: Sequence[Candidate],
    measure: Measurer,
    *,
    max_networks: int = MAX_NETWORKS,
    start: Variant | None = None,
) -> Bracket:
    """Measure outwards from the predictor's guess until the pick fits and the next larger one does not.

    `predicted` is a frontier in order of phi (`plan.frontier`, or a part of it to walk in larger steps); `measure`
    gives a measured Latency and may be noisy. Raises InputError for a budget that is none, BudgetMissed when even the
    smallest network is measured not to fit (or `max_networks` were measured and none did).
    """
    check_budget(budget)
    walk = _Walk(budget, predicted, measure)
    index = walk.guess()
    if start is not None:
        index = next((i for i, c in enumerate(predicted) if c.variant == start), index)
    while True:
        walk.measure(index)
        if walk.highest_fit + 1 == walk.lowest_miss or len(walk.results) >= max_networks:
            break
        index = min(max(walk.guess(), walk.highest_fit + 1), walk.lowest_miss - 1)
    return walk.outcome()


def apply(plan: Plan, found: Bracket) -> Plan:
    """The plan with the measured pick and next in place of the predicted ones."""
    by_variant = {candidate.variant: candidate for candidate in found.measured}
    frontier = tuple(by_variant.get(candidate.variant, candidate) for candidate in plan.frontier)
    return replace(plan, pick=found.pick, next=found.next, frontier=frontier, notes=found.notes)


class _Walk:
    """The state of one search: what was measured, and between which two the answer lies."""

    def __init__(self, budget: Budget, predicted: Sequence[Candidate], measure: Measurer) -> None:
        self.budget, self.predicted, self._measure = budget, predicted, measure
        self.results: dict[int, Candidate] = {}
        self.highest_fit = -1
        self.lowest_miss = len(predicted)

    def measure(self, index: int) -> None:
        """Measure one network, again where it is too near to the budget to decide, and narrow the bracket."""
        variant = self.predicted[index].variant
        runs = [self._measure(variant)]
        while len(runs) < NEAR_REPEATS and self._near(runs):
            runs.append(self._measure(variant))
        result = Candidate(variant, sorted(runs, key=self._at)[len(runs) // 2 if len(runs) % 2 else len(runs) // 2 - 1])
        self.results[index] = result
        if result.fits(self.budget):
            self.highest_fit = max(self.highest_fit, index)
        else:
            self.lowest_miss = min(self.lowest_miss, index)

    def guess(self) -> int:
        """The largest index that the corrected prediction lets fit; the smallest where none does."""
        fitting = [i for i in range(len(self.predicted)) if self._corrected(i) <= self.budget.latency_ms]
        return max(fitting, default=0)

    def outcome(self) -> Bracket:
        """The bracket that the measurements hold."""
        measured = tuple(self.results.values())
        if self.highest_fit < 0:
            quickest = min(measured, key=lambda candidate: self._at(candidate.latency))
            raise BudgetMissed(
                f"no network was measured within {self.budget.latency_ms:g} ms: {quickest.variant.label} took "
                f"{self._at(quickest.latency):.2f} ms (p{self.budget.percentile}, {quickest.latency.origin})",
                "give a larger --budget-ms, or a faster device",
            )
        closed = self.highest_fit + 1 == self.lowest_miss
        above = self.results.get(self.lowest_miss)
        pick = self.results[self.highest_fit]
        notes = []
        if above is None and closed:
            notes.append("the largest network of the range was measured to fit: the budget does not bind")
        if not closed:
            between = self.lowest_miss - self.highest_fit - 1
            notes.append(f"{between} networks between the pick and the next one were not measured")
        return Bracket(pick, above, measured, closed, tuple(notes))

    def _corrected(self, index: int) -> float:
        """The prediction times measured / predicted of the nearest measured neighbours, weighed by distance in phi."""
        raw = self._at(self.predicted[index].latency)
        if not self.results:
            return raw
        phi = self.predicted[index].variant.phi
        ratios = {
            i: math.log(self._at(c.latency) / self._at(self.predicted[i].latency)) for i, c in self.results.items()
        }
        if index in ratios:
            return raw * math.exp(ratios[index])
        weights = {i: 1 / (1e-6 + abs(self.predicted[i].variant.phi - phi)) for i in ratios}
        total = sum(weights.values())
        return raw * math.exp(sum(ratios[i] * weight for i, weight in weights.items()) / total)

    def _near(self, runs: list[Latency]) -> bool:
        return abs(statistics.median(map(self._at, runs)) / self.budget.latency_ms - 1) < NEAR_BUDGET

    def _at(self, latency: Latency) -> float:
        return latency.at(self.budget.percentile)
