"""Find the largest network under a budget by measuring: few measurements, each corrected by the ones before.

A measurement costs seconds of device time, so the predictor says where to look and every result corrects it (measured /
predicted, nearest first; it may be off by a factor). Two things make a plain bisection lie: latency is not monotone in
phi, and a machine is slower for seconds at a time, which moves every figure far more than one network's step to the
next. So what is compared is measured in turns within rounds that share one network, and corrected by it (rounds.py);
no single round decides; and the pick and the next one keep a distance from the budget, on either side of it, that
grows with the spread seen between rounds. The walk ends when it holds a bracket: the pick fits, the next one does not,
and what lies between is too near to the budget to tell. When time runs out before, the bracket is what the
measurements hold by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.picker.plan import Candidate, Measured, Plan
from edgefit_toolkit.picker.rounds import Rounds
from edgefit_toolkit.picker.rule import FITS_BY, MISSES_BY, check_budget, first_beyond, largest_within, released_or
from edgefit_toolkit.records import Budget, Latency, Variant

Measurer = Callable[[Sequence[Variant]], Sequence[Latency]]  # one round: all of them in turns

# The counts and distances were tuned on a simulated machine (tests/simulated_machine.py) whose noise was
# fitted to traces of a quiet 2-core host.
SPREADS = 1.5  # standard deviations of the pace between rounds: the distance on a machine that is not steady
FAR = 0.06  # relative: and at most
UNKNOWN_SPREAD = 0.02  # before three rounds
STEADY = 0.02  # relative: a distance up to this is not worth a note
ROUNDS = 3  # of the pick and of the next one
SHARED_ROUNDS = 9  # that share a network, in all: the pace is the largest uncertainty of every figure
DECIDES = 2  # rounds without which a network is not picked while another one has them
MAX_ROUNDS = 16  # in all
TOGETHER = 3  # networks in one round, more only so that one of them is new: a short round sees one pace
NEAR = 0.15  # relative, of the budget: near enough to be slowed alike, and to need the pace exactly


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
    first; no round begins once `in_time` says no. A released network that fits wins over one a little larger
    (rule.released_or). Raises InputError for a budget that is none, BudgetMissed when no network was measured
    to fit.
    """
    check_budget(budget)
    walk = _Walk(budget, predicted)
    first = next((i for i, c in enumerate(predicted) if c.variant == start), walk.pick())
    wanted = [first]
    for done in range(max_rounds):
        if not wanted or (done and not in_time()):
            break
        walk.add(wanted, measure([predicted[i].variant for i in wanted]))
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
        picks=(),
        proof=found.measured,
    )


class _Walk:
    """What was measured so far, and what to measure next. Networks are indices into the frontier."""

    def __init__(self, budget: Budget, predicted: Sequence[Candidate]) -> None:
        self.budget, self.predicted = budget, predicted
        self.rounds = Rounds(budget.percentile)
        self.estimates = [candidate.latency.at(budget.percentile) for candidate in predicted]

    def add(self, networks: Sequence[int], latencies: Sequence[Latency]) -> None:
        """One round."""
        self.rounds.add(dict(zip(networks, latencies, strict=True)))
        self.estimates = self._estimates()

    def pick(self) -> int:
        """The largest network that fits with room to spare, as far as is known; else the largest that just fits, else
        the quickest."""
        for limit_ms in (self.fits_ms, self.budget.latency_ms):
            if (largest := largest_within(self.estimates, limit_ms)) is not None:
                return largest
        return self.estimates.index(min(self.estimates))

    def next(self, pick: int) -> int | None:
        """The smallest network above the pick that clearly does not fit, as far as is known."""
        return first_beyond(self.estimates, self.misses_ms, above=pick)

    def favoured(self, pick: int) -> int:
        """The released network that is worth more than the pick, when there is one in reach; else the pick."""
        return released_or([candidate.variant for candidate in self.predicted], range(pick + 1), pick)

    @property
    def fits_ms(self) -> float:
        """What the pick may take, at the usual pace: the less steady the machine, the less."""
        return self.budget.latency_ms * (1 - max(FITS_BY, self._distance))

    @property
    def misses_ms(self) -> float:
        """What the next one takes at least."""
        return self.budget.latency_ms * (1 + max(MISSES_BY, self._distance + MISSES_BY - FITS_BY))

    def wanted(self) -> list[int]:
        """The networks of the next round; none when the bracket is held."""
        rounds, pick = self.rounds, self.pick()
        shared = self._shared(pick)
        if shared is None:
            return [pick]  # still far: one network corrects the predictor enough
        after = self.next(pick)
        ends = [i for i in (pick, self.favoured(pick), after) if i is not None]
        between = [
            i for i in range(pick + 1, len(self.predicted) if after is None else after) if i not in rounds.p50_ms
        ]
        close = any(self._near(i) for i in ends)
        if (
            not between
            and all(rounds.count(i) >= ROUNDS for i in ends)
            and rounds.shared >= (SHARED_ROUNDS if close else ROUNDS)
        ):
            return []
        together = {shared, *ends}
        return sorted(together | set(_spread_out(between, max(1, TOGETHER - len(together)))))

    def outcome(self, closed: bool) -> Bracket:
        """The bracket that the measurements hold, whether the walk came to its end or ran out of rounds."""
        measured = {i: self._measured(i) for i in self.rounds.p50_ms}
        fitting = [i for i in measured if measured[i].fits(self.budget)]
        if not fitting:
            raise self._missed(measured)
        largest = max(
            self._surest(
                fitting, lambda i, room: self.estimates[i] <= (self.fits_ms if room else self.budget.latency_ms)
            )
        )
        above = [i for i in measured if i > largest and not measured[i].fits(self.budget)]
        after = min(
            self._surest(
                above, lambda i, room: self.estimates[i] > (self.misses_ms if room else self.budget.latency_ms)
            ),
            default=None,
        )
        favoured = self.favoured(largest)
        if favoured not in fitting:
            favoured = largest
        notes = self._notes(measured, favoured, largest, after, closed)
        return Bracket(
            measured[favoured], None if after is None else measured[after], tuple(measured.values()), closed, notes
        )

    def _surest(self, networks: Sequence[int], holds: Callable[[int, bool], bool]) -> list[int]:
        """Those that hold with room to spare and were measured more than once; without them, less sure ones."""
        for rounds in (DECIDES, 1):
            for room in (True, False):
                if found := [i for i in networks if self.rounds.count(i) >= rounds and holds(i, room)]:
                    return found
        return list(networks)

    def _shared(self, pick: int) -> int | None:
        """The network that makes the next round comparable with the others: of those near the budget, which whatever
        slows the machine slows as much, the one with the most rounds; None while there is none."""
        near = [i for i in self.rounds.p50_ms if self._near(i)]
        if not near and pick in self.rounds.p50_ms:
            return pick
        return max(near, key=lambda i: len(self.rounds.runs(i)), default=None)

    def _near(self, index: int) -> bool:
        return abs(self.estimates[index] / self.budget.latency_ms - 1) <= NEAR

    def _estimates(self) -> list[float]:
        """ms of every network at the budget's percentile and the machine's usual pace: measured, or predicted and
        corrected by measured / predicted of the others, weighed by rounds and nearness in phi."""
        rounds, tail, p50_ms = self.rounds, self.rounds.tail, self.rounds.p50_ms
        known = [
            (self.predicted[i].variant.phi, len(rounds.runs(i)), math.log(ms / self.predicted[i].latency.p50))
            for i, ms in p50_ms.items()
        ]
        found = []
        for i, candidate in enumerate(self.predicted):
            if i in p50_ms:
                found.append(p50_ms[i] * tail)
                continue
            weights = [count / (1e-6 + abs(phi - candidate.variant.phi)) for phi, count, _ in known]
            off = sum(weight * log for weight, (_, _, log) in zip(weights, known, strict=True)) / sum(weights)
            found.append(candidate.latency.p50 * math.exp(off) * tail)
        return found

    @property
    def _distance(self) -> float:
        """From the budget, relative."""
        spread = self.rounds.spread
        return min(FAR, SPREADS * (UNKNOWN_SPREAD if spread is None else spread))

    def _measured(self, index: int) -> Measured:
        return Measured(self.predicted[index].variant, self.rounds.usual_run(index), tuple(self.rounds.runs(index)))

    def _missed(self, measured: dict[int, Measured]) -> BudgetMissed:
        quickest = min(measured.values(), key=lambda candidate: candidate.latency.at(self.budget.percentile))
        needs = quickest.latency.at(self.budget.percentile)
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
                f"{self.predicted[largest].variant.label} fits too, with weights made from those"
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
        if self.rounds.spread is not None and self._distance > STEADY:
            notes.append(
                f"the device's pace changed from round to round (standard deviation {self.rounds.spread:.1%}): "
                f"the pick keeps {1 - self.fits_ms / self.budget.latency_ms:.1%} from the budget"
            )
        if disturbed := self.rounds.calm.count(False):
            notes.append(f"{disturbed} of {len(self.rounds.calm)} rounds do not count: other work disturbed them")
        ends = [i for i in (pick, after) if i is not None]
        if not closed and any(self.rounds.count(i) < ROUNDS for i in ends):
            notes.append(f"the device was not steady enough for {ROUNDS} rounds of both: measure again when it is idle")
        return tuple(notes)


def _networks(count: int) -> str:
    return f"{count} network{'' if count == 1 else 's'}"


def _spread_out(networks: Sequence[int], count: int) -> list[int]:
    """At most `count` of them, evenly spaced: the middle one of each of as many parts."""
    parts = min(count, len(networks))
    return [networks[(2 * part + 1) * len(networks) // (2 * parts)] for part in range(parts)]
