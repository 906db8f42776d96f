"""A machine whose pace drifts, for judging the bracket by many runs that need no quiet hour.

latency = law x structure x pace(t) x noise of the network's round, and a tail of its own in every round. The size of
each is from a trace of a quiet 2-core virtual machine (AMD EPYC, 4 networks of about 8 ms, 13 rounds of 6.5 s, fresh
processes): the pace of the rounds has a standard deviation of 2.8%, networks of one round keep their ratio to 0.7 to
1.1% with outliers of 3%, p90 / p50 is 1.03 to 1.14, mostly alike for all networks of a round. Slower drift is from six
plans whose pick was measured afresh a minute later: -6% to +5%.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgefit_toolkit.records import Latency, Variant


@dataclass(frozen=True)
class Noise:
    """Standard deviations are relative."""

    pace: float = 0.025  # of the pace that changes within `pace_s`
    pace_s: float = 8.0
    drift: float = 0.02  # of the pace that changes within `drift_s`
    drift_s: float = 150.0
    network: float = 0.009  # of one network in one round
    outlier: float = 0.05  # share of the networks' rounds that are off by three times as much
    tail: float = 0.02  # of p90 / p50 - 1, about TAIL - 1
    structure: float = 0.03  # of what the predictor does not know of a network
    burst_every_s: float = 1e9  # other work, on average
    burst_s: float = 6.0
    burst: float = 1.5  # how much slower it makes everything


QUIET = Noise()
BURSTS = Noise(burst_every_s=30.0)  # a busy machine: 6 s in every 36 s
TAIL = 1.055


class Machine:
    """`clock` is its time in s; measuring moves it on."""

    def __init__(self, law: dict[Variant, float], noise: Noise, seed: int) -> None:
        """`law` gives each network's p50 in ms at pace 1."""
        self.noise, self.random = noise, random.Random(seed)
        self.p50_ms = {v: ms * math.exp(self.random.gauss(0, noise.structure)) for v, ms in law.items()}
        self.clock = 0.0
        self.rounds: list[tuple[Variant, ...]] = []
        self._pace = self.random.gauss(0, noise.pace)
        self._drift = self.random.gauss(0, noise.drift)
        self._burst_from = self.random.expovariate(1 / noise.burst_every_s)

    def measure(self, variants: Sequence[Variant]) -> list[Latency]:
        """One round: p50 and p90 of each."""
        self.rounds.append(tuple(variants))
        noise, took = self.noise, sum(_session_s(self.p50_ms[v]) for v in variants)
        start = self.clock
        self._pass(took)
        # the blocks of a round's networks alternate: a burst hits them all, each a little differently
        hit = max(0.0, min(self.clock, self._burst_from + noise.burst_s) - max(start, self._burst_from)) / took
        pace = math.exp(self._pace + self._drift)
        tail = 1 + (TAIL - 1) * math.exp(self.random.gauss(0, 0.4))
        found = []
        for variant in variants:
            own = self.random.gauss(0, noise.network)
            own *= 3 if self.random.random() < noise.outlier else 1
            share = min(1.0, max(0.0, hit + self.random.gauss(0, 0.15))) if hit else 0.0
            p50 = self.p50_ms[variant] * pace * math.exp(own) * (noise.burst if share > 0.5 else 1 + share * 0.1)
            p90 = p50 * tail * math.exp(abs(self.random.gauss(0, noise.tail)) / 2)
            if 0.1 < share <= 0.5:
                p90 = max(p90, self.p50_ms[variant] * pace * noise.burst)
            found.append(Latency(p50, p90, 0.99 * p90, 1.01 * p90, "measured on host", "simulated"))
        if self._burst_from + noise.burst_s < self.clock:
            self._burst_from = self.clock + self.random.expovariate(1 / noise.burst_every_s)
        return found

    def afresh(self, pick: Variant, after: Variant, repeats: int = 5) -> tuple[float, float]:
        """What prove_brackets.py compares: the median repeat's p90 of both, after a little while."""
        self._pass(5.0)
        runs = [self.measure([pick, after]) for _ in range(repeats)]
        return statistics.median(run[0].p90 for run in runs), statistics.median(run[1].p90 for run in runs)

    def _pass(self, seconds: float) -> None:
        """Ornstein-Uhlenbeck: both paces forget where they were."""
        noise = self.noise
        self.clock += seconds
        for name, size, memory_s in (("_pace", noise.pace, noise.pace_s), ("_drift", noise.drift, noise.drift_s)):
            kept = math.exp(-seconds / memory_s)
            setattr(self, name, getattr(self, name) * kept + self.random.gauss(0, size) * math.sqrt(1 - kept**2))


def _session_s(one_ms: float) -> float:
    """How long a network's part of a round takes: start, warm-up, 50 samples or 1 s, untimed ones between blocks."""
    return 0.5 + 10 * one_ms / 1e3 + 1.15 * max(1.0, 50 * one_ms / 1e3)
