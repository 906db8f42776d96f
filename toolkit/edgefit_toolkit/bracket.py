"""Find the largest network under a budget by measuring: few measurements, each corrected by the ones before.

A measurement costs seconds of device time, so the predictor says where to look and every result corrects it (measured /
predicted, nearest first; it may be off by a factor). Two things make a plain bisection lie: latency is not monotone in
phi, and a busy device is slower for seconds at a time, which moves a p90 far more than one network's step to the next.
So what is compared is measured in turns within one round; a figure is the median of its rounds, each a session of its
own; and the pick and the next one keep a distance from the budget, on either side of it, that a repetition does not
bridge. The walk ends when it holds a bracket: the pick fits, the next one does not, and what lies between is too near
to the budget to tell.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.plan import Candidate, Measured, Plan, check_budget, released_within_reach
from edgefit_toolkit.records import Budget, Latency, Variant

Measurer = Callable[[Sequence[Variant]], Sequence[Latency]]  # one round: all of them in turns

# Medians of three rounds of one network, minutes apart on a quiet 2-core host, agree within about 1%.
FITS_BY = 0.01  # relative: the pick is this far under the budget; the trained model has to fit later, too
MISSES_BY = 0.015  # relative: the next one is this far over it
ROUNDS = 3  # of the pick and of the next one; the median outvotes one disturbed round
MAX_ROUNDS = 12  # in all; a good predictor needs four or five
MAX_TOGETHER = 5  # networks in one round
NEAR_STEPS = 3  # networks between the guess and the nearest measured one: closer, and the bracket can be measured


@dataclass(frozen=True)
class Bracket:
    """What was measured, and what it says."""

    pick: Measured  # fits
    next: Measured | None  # does not fit; None when the largest network fits
    measured: tuple[Measured, ...]  # in the order of measuring
    closed: bool  # pick and next have all their rounds, and everything between was measured
    notes: tuple[str, ...] = ()


def bracket(
    budget: Budget,
    predicted: Sequence[Candidate],
    measure: Measurer,
    *,
    max_rounds: int = MAX_ROUNDS,
    start: Variant | None = None,
    in_time: Callable[[], bool] = lambda: True,
) -> Bracket:
    """Measure around the predictor's guess until the pick fits and the next larger one does not.

    `predicted` is a frontier in order of phi (`plan.frontier`, or a part of it to walk in larger steps); `measure`
    times several networks in turns and gives a measured Latency for each, which may be noisy; `start` is measured
    first; no round begins once `in_time` says no. A released network that fits wins over one a little larger (see
    plan.released_within_reach). Raises InputError for a budget that is none, BudgetMissed when no network was measured
    to fit.
    """
    check_budget(budget)
    walk = _Walk(budget, predicted)
    first = next((i for i, c in enumerate(predicted) if c.variant == start), walk.pick())
    wanted = [first]
    for _ in range(max_rounds):
        if not wanted or (walk.runs and not in_time()):
            break
        for index, latency in zip(wanted, measure([predicted[i].variant for i in wanted]), strict=True):
            walk.runs.setdefault(index, []).append(latency)
        wanted = walk.wanted()
    return walk.outcome(closed=not wanted)


def apply(plan: Plan, found: Bracket) -> Plan:
    """The plan with the measured pick and next in place of the predicted ones, and the proof."""
    by_variant = {measured.variant: Candidate(measured.variant, measured.latency) for measured in found.measured}
    return replace(
        plan,
        pick=by_variant[found.pick.variant],
        next=by_variant[found.next.variant] if found.next else None,
        frontier=tuple(by_variant.get(candidate.variant, candidate) for candidate in plan.frontier),
        notes=found.notes,
        proof=found.measured,
    )


class _Walk:
    """What was measured so far, and what to measure next. Networks are indices into the frontier."""

    def __init__(self, budget: Budget, predicted: Sequence[Candidate]) -> None:
        self.budget, self.predicted = budget, predicted
        self.runs: dict[int, list[Latency]] = {}  # in the order of measuring

    def pick(self) -> int:
        """The largest network that fits with room to spare, as far as is known; else the largest that just fits, else
        the quickest."""
        everything = range(len(self.predicted))
        for limit_ms in (self.budget.latency_ms * (1 - FITS_BY), self.budget.latency_ms):
            if fitting := [i for i in everything if self.estimate(i) <= limit_ms]:
                return fitting[-1]
        return min(everything, key=self.estimate)

    def next(self, pick: int) -> int | None:
        """The smallest network above the pick that clearly does not fit, as far as is known."""
        limit_ms = self.budget.latency_ms * (1 + MISSES_BY)
        return next((i for i in range(pick + 1, len(self.predicted)) if self.estimate(i) > limit_ms), None)

    def favoured(self, pick: int) -> int:
        """The released network that is worth more than the pick, when there is one in reach; else the pick."""
        known = released_within_reach(self.predicted[: pick + 1], self.predicted[pick])
        return pick if known is None else next(i for i, c in enumerate(self.predicted) if c is known)

    def wanted(self) -> list[int]:
        """The networks of the next round; none when the bracket is held."""
        pick = self.pick()
        if min(abs(pick - i) for i in self.runs) > NEAR_STEPS:
            return [pick]  # still far: one network corrects the predictor enough
        after = self.next(pick)
        ends = [i for i in (pick, after) if i is not None]
        top = len(self.predicted) if after is None else after
        between = [i for i in range(pick + 1, top) if i not in self.runs]
        favoured = self.favoured(pick)
        if favoured != pick and len(self.runs.get(favoured, ())) < ROUNDS:
            between.insert(0, favoured)
        if all(len(self.runs.get(i, ())) >= ROUNDS for i in ends) and not between:
            return []
        return sorted({*ends, *between[: MAX_TOGETHER - len(ends)]})

    def outcome(self, closed: bool) -> Bracket:
        """The bracket that the measurements hold, whether the walk came to its end or ran out of rounds."""
        measured = {i: self._measured(i) for i in self.runs}
        just = [i for i in measured if measured[i].fits(self.budget)]
        fitting = [i for i in just if self.estimate(i) <= self.budget.latency_ms * (1 - FITS_BY)] or just
        if not fitting:
            raise self._missed(measured)
        largest = max(fitting)
        above = sorted(i for i in measured if i > largest and not measured[i].fits(self.budget))
        clear = [i for i in above if self.estimate(i) > self.budget.latency_ms * (1 + MISSES_BY)]
        after = next(iter(clear or above), None)
        favoured = self.favoured(largest)
        if favoured not in measured or not measured[favoured].fits(self.budget):
            favoured = largest
        notes = self._notes(measured, favoured, largest, after, closed)
        return Bracket(
            measured[favoured], None if after is None else measured[after], tuple(measured.values()), closed, notes
        )

    def estimate(self, index: int) -> float:
        """ms at the budget's percentile: the median of the rounds, where there are enough of them.

        Before that the tail is not known: a p90 tells more of the device's other work than of the network, and a p50
        hardly moves. So it is the p50 (measured, or predicted and corrected by measured / predicted of the others,
        weighed by rounds and nearness in phi), times the usual p90 / p50 of all rounds.
        """
        runs = self.runs.get(index, ())
        if len(runs) >= ROUNDS:
            return self._at(self._median(runs))
        if not self.runs:
            return self._at(self.predicted[index].latency)
        tail = statistics.median(self._at(run) / run.p50 for each in self.runs.values() for run in each)
        if runs:
            return statistics.median(run.p50 for run in runs) * tail
        phi = self.predicted[index].variant.phi
        total = weighed = 0.0
        for i, others in self.runs.items():
            weight = len(others) / (1e-6 + abs(self.predicted[i].variant.phi - phi))
            total += weight
            p50 = statistics.median(run.p50 for run in others)
            weighed += weight * math.log(p50 / self.predicted[i].latency.p50)
        return self.predicted[index].latency.p50 * math.exp(weighed / total) * tail

    def _measured(self, index: int) -> Measured:
        runs = self.runs[index]
        return Measured(self.predicted[index].variant, self._median(runs), tuple(runs))

    def _median(self, runs: Sequence[Latency]) -> Latency:
        return sorted(runs, key=self._at)[(len(runs) - 1) // 2]

    def _at(self, latency: Latency) -> float:
        return latency.at(self.budget.percentile)

    def _missed(self, measured: dict[int, Measured]) -> BudgetMissed:
        quickest = min(measured.values(), key=lambda candidate: self._at(candidate.latency))
        needs = self._at(quickest.latency)
        return BudgetMissed(
            f"no network was measured within {self.budget.latency_ms:g} ms: {quickest.variant.label} took "
            f"{needs:.2f} ms (p{self.budget.percentile}, {quickest.latency.origin})",
            f"--budget-ms {math.ceil(needs * (1 + FITS_BY) * 10) / 10:g} is one that it meets; or take a faster device",
        )

    def _notes(
        self, measured: dict[int, Measured], pick: int, largest: int, after: int | None, closed: bool
    ) -> tuple[str, ...]:
        notes = []
        if pick != largest:
            notes.append(
                f"{self.predicted[pick].variant.label} has published ImageNet weights; "
                f"{self.predicted[largest].variant.label} fits too, with grown ones"
            )
        if after is None and closed:
            notes.append("the largest network of the range was measured to fit: the budget does not bind")
        between = range(largest + 1, len(self.predicted) if after is None else after)
        near = [i for i in between if i in measured]
        if near:
            notes.append(
                f"{_networks(len(near))} between them {'lies' if len(near) == 1 else 'lie'} too near to the budget "
                "to tell"
            )
        unmeasured = len(between) - len(near)
        if unmeasured and not closed:
            notes.append(f"{_networks(unmeasured)} between the pick and the next one were not measured")
        ends = [i for i in (pick, after) if i is not None]
        if not closed and any(len(self.runs[i]) < ROUNDS for i in ends):
            notes.append(f"the device was not steady enough for {ROUNDS} rounds of both: measure again when it is idle")
        return tuple(notes)


def _networks(count: int) -> str:
    return f"{count} network{'' if count == 1 else 's'}"
