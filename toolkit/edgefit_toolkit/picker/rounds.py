"""Rounds of measuring: what they say of a network when the machine's own pace changes from round to round.

A quiet 2-core virtual machine was measured to be 3% slower or quicker from one round to the next (standard deviation;
seconds to minutes apart), all networks alike; networks of one round, in turns, keep their ratio to about 1%. So each
round has a pace: the median, over its networks, of what they took in it / what they usually take. Rounds share
networks, which makes them comparable. The budget is absolute, though: it is compared with a network's time at the
usual pace, the median of all rounds'.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from edgefit_toolkit.records import Latency

DISTURBED = (
    0.15  # relative: a round this much slower than the quicker ones, or with a tail this much longer, saw other work
)
PASSES = 8  # of the fit: paces and usual times settle within three or four


class Rounds:
    """Each round maps networks (any ints) to what they took in it, in turns with the others of the round."""

    def __init__(self, percentile: int) -> None:
        self.percentile = percentile
        self.rounds: list[dict[int, Latency]] = []
        self.paces: list[float | None] = []  # of each round, usual = 1; None: it shares no network with another
        self.calm: list[bool] = []  # of each round: neither its pace nor its tail tells of other work
        self.p50_ms: dict[int, float] = {}  # of every network that was measured, at the usual pace, in that order
        self.tail = 1.0  # the usual percentile / p50: it tells of the machine more than of a network

    def add(self, measured: Mapping[int, Latency]) -> None:
        """Append one round."""
        self.rounds.append(dict(measured))
        slow = self._fit()
        tails = [statistics.median(self._at(run) / run.p50 for run in each.values()) for each in self.rounds]
        long = _disturbed(tails)
        self.calm = [not (i in slow or i in long) for i in range(len(self.rounds))]
        self.tail = statistics.median(tail for i, tail in enumerate(tails) if i not in long)

    def runs(self, network: int) -> list[Latency]:
        """What the network took, round by round, as it was measured."""
        return [each[network] for each in self.rounds if network in each]

    def usual_run(self, network: int) -> Latency:
        """Of its rounds, as they were measured, the one nearest to what the network takes at the usual pace."""
        usual_ms = self.p50_ms[network] * self.tail
        return min(self.runs(network), key=lambda run: abs(math.log(self._at(run) / usual_ms)))

    def count(self, network: int) -> int:
        """In how many calm rounds the network took part."""
        return sum(calm and network in each for each, calm in zip(self.rounds, self.calm, strict=True))

    @property
    def shared(self) -> int:
        """How many calm rounds tell the machine's pace."""
        return len(self._calm_paces())

    @property
    def spread(self) -> float | None:
        """Standard deviation of the pace in calm rounds, relative; None before three of them tell it."""
        paces = self._calm_paces()
        return statistics.stdev(map(math.log, paces)) if len(paces) >= 3 else None

    def _calm_paces(self) -> list[float]:
        return [pace for pace, calm in zip(self.paces, self.calm, strict=True) if calm and pace is not None]

    def _fit(self) -> set[int]:
        """Paces and usual times that explain the rounds: medians in turns (a median polish of the logarithms).
        Returns the rounds that were slow: nothing is learned from them where there is a calmer one."""
        often = {i for each in self.rounds for i in each if sum(i in other for other in self.rounds) > 1}
        telling = [n for n, each in enumerate(self.rounds) if often & each.keys()]
        if not telling:
            self.paces, self.p50_ms = [None] * len(self.rounds), self._usual({}, set())
            return set()
        # from the network with the most rounds on: networks that share all theirs would hide the pace from the medians
        first = max(often, key=lambda i: sum(i in each for each in self.rounds))
        usual = statistics.median(each[first].p50 for each in self.rounds if first in each)
        paces = {n: self.rounds[n][first].p50 / usual if first in self.rounds[n] else 1.0 for n in telling}
        slow = {telling[i] for i in _disturbed(list(paces.values()))}
        self.p50_ms = self._usual(paces, slow)
        for _ in range(PASSES):
            for n in telling:
                each = self.rounds[n]
                paces[n] = statistics.median(each[i].p50 / self.p50_ms[i] for i in often & each.keys())
            slow = {telling[i] for i in _disturbed(list(paces.values()))}
            usual = statistics.median(pace for n, pace in paces.items() if n not in slow)
            paces = {n: pace / usual for n, pace in paces.items()}
            self.p50_ms = self._usual(paces, slow)
        self.paces = [paces.get(n) for n in range(len(self.rounds))]
        return slow

    def _usual(self, paces: Mapping[int, float], slow: set[int]) -> dict[int, float]:
        """p50 of each network in ms: the median of its rounds, each divided by its pace."""
        found: dict[int, dict[int, float]] = {}
        for n, each in enumerate(self.rounds):
            for network, run in each.items():
                found.setdefault(network, {})[n] = run.p50 / paces.get(n, 1.0)
        return {
            network: statistics.median([ms for n, ms in runs.items() if n not in slow] or runs.values())
            for network, runs in found.items()
        }

    def _at(self, latency: Latency) -> float:
        return latency.at(self.percentile)


def _disturbed(figures: Sequence[float]) -> set[int]:
    """Indices of those far above the quicker quarter; none of fewer than three."""
    if len(figures) < 3:
        return set()
    limit = sorted(figures)[len(figures) // 4] * (1 + DISTURBED)
    return {i for i, figure in enumerate(figures) if figure > limit}
